//! The report, at 80 columns.

use std::fmt;

use crate::cheapest::Cheapest;
use crate::deployment::{Consumer, Deployment, TableMode};
use crate::figures::{dollars, duration, number, percent};
use crate::load::{Keys, Load, Packing};
use crate::plan::{Plan, Wanted};
use crate::warnings::STEADY_GROWTH;

/// Columns of the report.
const WIDTH: usize = 80;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        paragraph(f, "load        ", &load(&self.load))?;
        paragraph(f, "deployment  ", &deployment(&self.deployment))?;
        writeln!(f, "\n{:<40}{:>14}{:>14}{:>9}", "limit", "used", "of", "%")?;
        for limit in &self.limits {
            let (used, of) = (number(limit.used), number(limit.of));
            writeln!(f, "{:<40}{used:>15}{of:>15}{:>10}", limit.name, percent(limit.part()))?;
        }
        writeln!(f)?;
        if let Some(first) = &self.first_full {
            paragraph(f, "full first  ", &format!("{}, {} %", first.name, percent(first.part())))?;
        }
        let capacity = self.flow.capacity();
        let most = number(capacity.messages_per_second);
        paragraph(f, "capacity    ", &format!("{most} messages/s with full batches, by {}", capacity.part))?;
        paragraph(f, "batch       ", &self.batch())?;
        paragraph(f, "age         ", &self.age())?;
        paragraph(f, "outage      ", &self.catch_up())?;
        self.costs(f)?;
        for warning in &self.warnings {
            paragraph(f, "warning     ", &warning.text)?;
        }
        if let Some(wanted) = &self.wanted {
            writeln!(f)?;
            paragraph(f, "wanted age  ", &self.wanted_age(wanted))?;
        }
        Ok(())
    }
}

impl Plan {
    fn batch(&self) -> String {
        let flow = &self.flow;
        format!(
            "{} records, {} a second, {} on average and at most {}; {} write units for 1,000 messages",
            number(flow.batch_records),
            number(flow.batches_per_second),
            duration(flow.duration_seconds),
            duration(flow.longest_duration_seconds),
            number(flow.units_per_thousand)
        )
    }

    fn age(&self) -> String {
        let (flow, outcome) = (&self.flow, &self.simulated);
        if outcome.growth > STEADY_GROWTH {
            let (growth, age) = (number(outcome.growth), duration(outcome.age_at_end));
            return format!("grows by {growth} s each second; {age} at the end of the simulation");
        }
        let formulas = format!(
            "{} on average, {} at most by the formulas",
            duration(flow.mean_age_seconds),
            duration(flow.highest_age_seconds)
        );
        if outcome.committed == 0 {
            return format!(
                "{formulas}; no message is committed in the {} that are simulated",
                duration(outcome.seconds)
            );
        }
        format!(
            "{formulas}; simulated {}, 99 % below {}, at most {}",
            duration(outcome.ages.mean),
            duration(outcome.ages.p99),
            duration(outcome.ages.highest)
        )
    }

    fn catch_up(&self) -> String {
        let outage = &self.outage;
        if outage.seconds == 0 {
            return "none".to_owned();
        }
        let lasts = duration(f64::from(outage.seconds));
        let lost = match outage.lost_seconds {
            0 => String::new(),
            seconds => {
                let messages = number(outage.lost_messages.round());
                format!("the messages of its first {} are lost ({messages}), and ", duration(f64::from(seconds)))
            }
        };
        let catches_up = match (outage.catch_up_seconds, outage.simulated_seconds) {
            (None, _) => "it never catches up".to_owned(),
            (Some(formula), None) => format!(
                "it catches up in {} by the formula, and not within the {} that are simulated",
                duration(formula),
                duration(f64::from(outage.simulated_at_most))
            ),
            (Some(formula), Some(simulated)) => {
                format!("it catches up in {} by the formula, in {} simulated", duration(formula), duration(simulated))
            }
        };
        format!("after one of {lasts} {lost}{catches_up}")
    }

    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<50}{:>15}{:>15}", "cost a month", "amount", "$")?;
        for item in &self.cost.items {
            let what = format!("{}, {}", item.service, item.what);
            writeln!(f, "{what:<50}{:>15}{:>15}", number(item.amount), dollars(item.dollars))?;
        }
        writeln!(f, "{:<65}{:>15}", "total", dollars(self.cost.total()))?;
        paragraph(f, "prices      ", &self.prices)?;
        writeln!(f)
    }

    fn wanted_age(&self, wanted: &Wanted) -> String {
        let age = duration(wanted.age_seconds);
        let held = if wanted.is_held { "is held" } else { "is not held" };
        match &wanted.cheapest {
            Some(cheapest) => format!("{age} {held}; the cheapest setting that holds it: {}", setting(cheapest)),
            // The search leaves out what uses more, which may hold the age nevertheless.
            None => format!("{age} {held}; no setting was found that holds it with a fifth of each limit to spare"),
        }
    }
}

fn setting(cheapest: &Cheapest) -> String {
    let packing = match cheapest.packing {
        Packing::None => "messages not packed".to_owned(),
        Packing::Messages(messages) => format!("{messages} messages packed into a record"),
        Packing::Bytes(bytes) => format!("messages packed into records of {} bytes", number(bytes as f64)),
    };
    format!(
        "{}; {packing}; ${} a month, 99 % below {}, full first: {} at {} %",
        deployment(&cheapest.deployment),
        dollars(cheapest.cost.total()),
        duration(cheapest.age_seconds),
        cheapest.first_full.0,
        percent(cheapest.first_full.1)
    )
}

fn load(load: &Load) -> String {
    let keys = match load.keys {
        Keys::Racer => "keyed by racer",
        Keys::Random => "with random keys",
    };
    let packed = match load.is_packed() {
        true => format!("{} in a record of {} bytes", load.messages_per_record(), number(load.record_bytes() as f64)),
        false => "each a record".to_owned(),
    };
    let messages = number(load.messages_per_second());
    format!(
        "{} racers × {} messages/s: {messages} messages/s of {} bytes, {keys}, {packed}; races of {} s",
        number(f64::from(load.racers)),
        number(load.rate),
        load.message_bytes,
        load.race_seconds
    )
}

fn deployment(deployment: &Deployment) -> String {
    let shards = if deployment.shards == 1 { "shard" } else { "shards" };
    let consumer = match &deployment.consumer {
        Consumer::Function(function) => {
            let tumbling = match function.tumbling_seconds {
                0 => String::new(),
                seconds => format!(", tumbling {seconds} s"),
            };
            format!(
                "a function of {} MB and {} s, batches of {}, window {} s, factor {}{tumbling}",
                number(f64::from(function.memory_mb)),
                function.timeout_seconds,
                number(f64::from(function.batch_size)),
                function.window_seconds,
                function.factor
            )
        }
        Consumer::Run(process) => format!("`paceline run` with {} processors", number(process.processors)),
        Consumer::Kcl(process) => format!("the KCL with {} processors", number(process.processors)),
    };
    let table = match deployment.table {
        TableMode::OnDemand { .. } => "a table on demand".to_owned(),
        TableMode::Provisioned { units, index_units } => {
            format!("a table of {} write units, its index of {}", number(units), number(index_units))
        }
    };
    format!("{} {shards}, {consumer}, {table}", deployment.shards)
}

/// A text behind a label, wrapped below itself.
fn paragraph(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    let mut line = label.to_owned();
    let mut is_first = true;
    for word in text.split(' ') {
        if !is_first && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(label.len());
            is_first = true;
        }
        if !is_first {
            line.push(' ');
        }
        line.push_str(word);
        is_first = false;
    }
    writeln!(f, "{line}")
}
