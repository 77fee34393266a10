//! What every store does with notices.

use paceline_pipeline::store::{Expected, Notice, NoticeStore, notice_time};

/// Checks the notices of a store, through two handles on it, of which one may be the other.
pub async fn check_notices(store: &impl NoticeStore, other: &impl NoticeStore) {
    let notice = |name: &str, version| Notice {
        name: name.to_owned(),
        body: format!("{{\"version\":{version}}}"),
        version,
        expires: None,
    };
    let (first, second) = (notice("a", 1), notice("b/é ", 7));
    assert_eq!(store.list_notices("hosts").await.unwrap(), []);

    // Written only over what is expected.
    assert!(!store.put_notice("hosts", &first, Expected::Version(0)).await.unwrap());
    assert!(store.put_notice("hosts", &first, Expected::Nothing).await.unwrap());
    assert!(!other.put_notice("hosts", &notice("a", 9), Expected::Nothing).await.unwrap());
    assert!(!other.put_notice("hosts", &notice("a", 9), Expected::Version(2)).await.unwrap());
    assert!(other.put_notice("hosts", &second, Expected::Anything).await.unwrap());
    assert_eq!(other.list_notices("hosts").await.unwrap(), [first, second.clone()]);
    let next = notice("a", 2);
    assert!(other.put_notice("hosts", &next, Expected::Version(1)).await.unwrap());
    assert!(!store.put_notice("hosts", &next, Expected::Version(1)).await.unwrap());
    assert_eq!(store.list_notices("hosts").await.unwrap(), [next, second]);

    // Topics have nothing in common.
    assert!(store.put_notice("host", &notice("a", 1), Expected::Nothing).await.unwrap());
    assert_eq!(store.list_notices("host").await.unwrap(), [notice("a", 1)]);
    assert_eq!(store.list_notices("hos").await.unwrap(), []);

    // An expired notice counts as absent; one that expires later is there.
    let now = notice_time();
    let expired = Notice { expires: Some(now), ..notice("a", 5) };
    assert!(store.put_notice("expiring", &expired, Expected::Anything).await.unwrap());
    assert_eq!(other.list_notices("expiring").await.unwrap(), []);
    assert!(!other.put_notice("expiring", &notice("a", 6), Expected::Version(5)).await.unwrap());
    let later = Notice { expires: Some(now + 3600), ..notice("a", 6) };
    assert!(other.put_notice("expiring", &later, Expected::Nothing).await.unwrap());
    assert!(!store.put_notice("expiring", &notice("a", 7), Expected::Nothing).await.unwrap());
    assert_eq!(store.list_notices("expiring").await.unwrap(), [later]);
    assert!(store.put_notice("expiring", &notice("a", 7), Expected::Version(6)).await.unwrap());
    assert_eq!(store.list_notices("expiring").await.unwrap(), [notice("a", 7)]);

    // A name that DynamoDB can't hold is refused by every store.
    for name in ["", &"n".repeat(1025)] {
        let error = store.put_notice("hosts", &notice(name, 1), Expected::Anything).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
    }
}
