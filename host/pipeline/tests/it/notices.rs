//! Notices in the stores that need no server.

use paceline_pipeline::store::{EmbeddedStore, Expected, MemoryStore, Notice, NoticeStore};
use paceline_testbed::notices::check_notices;
use tempfile::TempDir;

use crate::support::block_on;

#[test]
fn the_memory_store_keeps_notices_by_topic_and_name() {
    let store = MemoryStore::default();
    block_on(check_notices(&store, &store));
}

#[test]
fn the_embedded_store_keeps_notices_by_topic_and_name_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    block_on(check_notices(&store, &store));
    let notice = Notice { name: "rules".into(), body: "{}".into(), version: 3, expires: None };
    assert!(block_on(store.put_notice("head", &notice, Expected::Nothing)).unwrap());
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(block_on(store.list_notices("head")).unwrap(), [notice]);
}
