//! A worker: its daemon takes leases and renews them, ends when one of its processes fails, and is started again.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Application;
use super::conversation::{Conversation, Signals};
use super::leases::Held;
use super::process::Gone;
use crate::latch::Latch;
use crate::world::sleep_ms;

/// The longest time between two looks at the lease table, in milliseconds.
const LOOK_MS: u64 = 3_000;
/// The longest time after which a daemon is started again, in milliseconds.
const RESTART_MS: u64 = 5_000;

/// One daemon after another, until all is read.
pub(super) async fn work(application: Arc<Application>) {
    let world = Arc::clone(&application.fleet.world);
    while !application.leases.is_read() {
        sleep_ms(1 + world.below(RESTART_MS)).await;
        daemon(&application).await;
    }
}

/// A daemon from its start to its end.
async fn daemon(application: &Arc<Application>) {
    let (world, leases) = (&application.fleet.world, &application.leases);
    let id = application.next_daemon();
    let signals = Signals::default();
    let mut held: Vec<(Held, Arc<Latch>)> = Vec::new();
    let mut conversations = JoinSet::new();
    world.trace(format_args!("daemon {id} starts"));
    loop {
        held.retain(|(_, lost)| !lost.is_set());
        held.iter().filter(|(held, _)| !leases.renew(held)).for_each(|(_, lost)| lost.set());
        if leases.is_answered() || world.chance(world.plan.stops) {
            signals.stop.set();
        }
        if world.chance(world.plan.kills) {
            if world.below(2) == 0 {
                signals.machine.set();
            }
            signals.down.set();
        }
        if signals.down.is_set() || signals.stop.is_set() && conversations.is_empty() {
            break;
        }
        if !signals.stop.is_set()
            && let Some(taken) = leases.take(id)
        {
            let lost = Arc::new(Latch::default());
            held.push((taken, Arc::clone(&lost)));
            let conversation = Conversation::new(application, &signals, taken, lost);
            conversations.spawn(converse(conversation, Arc::clone(&signals.down)));
        }
        tokio::select! {
            biased;
            () = signals.down.wait() => {}
            Some(ended) = conversations.join_next() => {
                // The daemon ends with the first process that fails.
                if let Err(Gone) = ended.expect("a conversation does not panic") {
                    signals.down.set();
                }
            }
            () = sleep_ms(1 + world.below(LOOK_MS)) => {}
        }
    }
    world.trace(format_args!("daemon {id} ends"));
    conversations.join_all().await;
}

/// A conversation, unless the daemon ends before: then the process finds its input closed.
async fn converse(conversation: Conversation, down: Arc<Latch>) -> Result<(), Gone> {
    // Boxed, because the compiler limits how deep futures nest in one type.
    let run = Box::pin(conversation.run());
    tokio::select! {
        biased;
        () = down.wait() => Ok(()),
        ended = run => ended,
    }
}
