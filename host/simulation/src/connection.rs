//! A host's connections to DynamoDB: requests are throttled, fail, take long, come back done in part, and the host may die
//! in them.

use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::dynamodb::{Answer, Chance, Database, ITEMS, LETTERS};
use crate::fate::{Ending, Table};
use crate::http::{Service, response};
use crate::latch::Latch;
use crate::plant::Plant;
use crate::request::Request;
use crate::trace;
use crate::world::{World, sleep_ms};

/// The most items of a page.
const PAGE: u64 = 8;
/// The attribute that has the body of a notice.
const NOTICE: &str = "@body";
/// The ARN in the reasons of throttled requests.
const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table";

/// DynamoDB as one life of a host reaches it.
#[derive(Debug)]
pub(crate) struct Connected {
    database: Arc<Database>,
    world: Arc<World>,
    host: u32,
    killed: Arc<Latch>,
}

/// What a planted bug overlooks of a request.
enum Overlooked {
    Nothing,
    Condition(Request),
    Request,
}

/// What the world's faults do to an answer.
impl Chance for World {
    fn leaves_out(&self) -> bool {
        self.is_write_lost()
    }

    fn below(&self, end: u64) -> u64 {
        World::below(self, end)
    }

    fn page(&self) -> usize {
        1 + World::below(self, PAGE) as usize
    }
}

impl Connected {
    /// The connections of a host; `killed` is set when it dies.
    pub(crate) fn new(database: Arc<Database>, world: Arc<World>, host: u32, killed: Arc<Latch>) -> Self {
        Self { database, world, host, killed }
    }

    fn die(&self, operation: &str) {
        self.world.trace(format_args!("host {} dies in {operation}", self.host));
        self.killed.set();
    }

    /// The request arrives and takes effect, whether or not somebody waits for the answer.
    fn execute(&self, request: &Request) -> Answer {
        let Self { database, world, host, .. } = self;
        let mut answer = match self.overlook(request) {
            Overlooked::Nothing => database.execute(request, &**world),
            Overlooked::Condition(request) => database.execute(&request, &**world),
            Overlooked::Request => Answer { status: 200, body: json!({}) },
        };
        world.trace(format_args!(
            "host {host} {} {:016x} is answered {} {:016x}",
            request.operation,
            traced(&request.body),
            answer.status,
            traced(&answer.body)
        ));
        self.spoil(&mut answer.body);
        answer
    }

    /// Planted bugs: what a store that leaves out a part of its work would have sent.
    fn overlook(&self, request: &Request) -> Overlooked {
        let text = |name: &str| request.body.get("Item")?.get(name)?.get("S")?.as_str();
        let (Some(partition), Some(sort)) = (text("PK"), text("SK")) else { return Overlooked::Nothing };
        if self.world.is_planted(Plant::SharedItemNotConditional) && sort.starts_with("@pack-") {
            let mut request = request.clone();
            if let Some(body) = request.body.as_object_mut() {
                body.retain(|name, _| !name.starts_with("Condition") && !name.starts_with("ExpressionAttribute"));
            }
            return Overlooked::Condition(request);
        }
        let is_result = partition.starts_with("last-") && sort.starts_with("racer-");
        match self.world.is_planted(Plant::ResultNotPublished) && is_result {
            true => Overlooked::Request,
            false => Overlooked::Nothing,
        }
    }

    /// Planted bugs: what a store that overlooks a part of an answer would have seen.
    fn spoil(&self, body: &mut Value) {
        let Some(body) = body.as_object_mut() else { return };
        if self.world.is_planted(Plant::UnprocessedIsDone) {
            body.retain(|name, _| !name.starts_with("Unprocessed"));
        }
        if self.world.is_planted(Plant::FirstPageIsAll) {
            body.remove("LastEvaluatedKey");
        }
        if self.world.is_planted(Plant::StatementErrorIsSuccess) {
            let statements = body.get_mut("Responses").and_then(Value::as_array_mut);
            for statement in statements.into_iter().flatten().filter_map(Value::as_object_mut) {
                statement.remove("Error");
            }
        }
    }

    /// A request that has no effect.
    fn refuse(&self, operation: &str, table: &str) -> Result<HttpResponse, ConnectorError> {
        let error = |status: u16, name: &str, more: Value| {
            let mut body =
                json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": "not now" });
            body.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
            self.world.trace(format_args!("host {} {operation} fails: {name}", self.host));
            Ok(response(status, body.to_string().into_bytes()))
        };
        let reason = |reason: &str| json!([{ "reason": reason, "resource": format!("{ARN}/{table}") }]);
        match self.world.below(7) {
            0 => {
                let reasons = json!({ "ThrottlingReasons": reason("TableWriteKeyRangeThroughputExceeded") });
                error(400, "ProvisionedThroughputExceededException", reasons)
            }
            1 => error(
                400,
                "ThrottlingException",
                json!({ "throttlingReasons": reason("TableReadAccountLimitExceeded") }),
            ),
            2 => error(400, "RequestLimitExceeded", json!({})),
            3 => error(500, "InternalServerError", json!({})),
            4 => error(503, "ServiceUnavailable", json!({})),
            5 => {
                self.world.trace(format_args!("host {} {operation} meets a proxy", self.host));
                Ok(response(502, b"<html><body>Bad Gateway</body></html>".to_vec()))
            }
            _ => {
                self.world.trace(format_args!("host {} {operation} finds no connection", self.host));
                Err(ConnectorError::io("connection refused".into()))
            }
        }
    }

    /// What the host sees of an answer that is lost.
    async fn lose(&self, operation: &str, answer: &Answer) -> Result<HttpResponse, ConnectorError> {
        let how = self.world.below(4);
        self.world.trace(format_args!("host {} {operation} loses the answer: {how}", self.host));
        match how {
            0 => Err(ConnectorError::io("connection reset by peer".into())),
            1 => {
                let body = json!({ "__type": "com.amazonaws.dynamodb.v20120810#InternalServerError" });
                Ok(response(500, body.to_string().into_bytes()))
            }
            2 => {
                let mut body = answer.body.to_string().into_bytes();
                body.truncate(body.len() / 2);
                Ok(response(answer.status, body))
            }
            // Nothing comes, until the client gives up.
            _ => std::future::pending().await,
        }
    }
}

impl Service for Connected {
    async fn answer(self: Arc<Self>, request: Request) -> Result<HttpResponse, ConnectorError> {
        // What a host has left running does not go on after its death.
        if self.killed.is_set() {
            std::future::pending().await
        }
        let operation = request.operation.clone();
        let (name, table) = table_of(&request);
        let fate = self.world.fate(table);
        match fate.ending {
            Ending::KilledBefore => {
                sleep_ms(fate.before).await;
                self.die(&operation);
                return std::future::pending().await;
            }
            Ending::Refused => {
                sleep_ms(fate.before).await;
                return self.refuse(&operation, name);
            }
            Ending::Answered | Ending::AnswerLost | Ending::KilledAfter => {}
        }
        // A client that gives up on a request does not call it back.
        let (answered, answer) = oneshot::channel();
        let (service, ending) = (Arc::clone(&self), fate.ending);
        tokio::spawn(async move {
            sleep_ms(fate.before).await;
            let answer = service.execute(&request);
            if ending == Ending::KilledAfter {
                service.die(&request.operation);
            }
            sleep_ms(fate.after).await;
            let _ = answered.send(answer);
        });
        let Ok(answer) = answer.await else { return std::future::pending().await };
        match ending {
            Ending::KilledAfter => std::future::pending().await,
            Ending::AnswerLost => self.lose(&operation, &answer).await,
            _ => Ok(response(answer.status, answer.body.to_string().into_bytes())),
        }
    }
}

/// The table of a request, and which of them that is when one is out of reach.
fn table_of(Request { body, .. }: &Request) -> (&'static str, Table) {
    let of_batch = || body.get("RequestItems")?.as_object()?.keys().next().map(String::as_str);
    let name = body.get("TableName").and_then(Value::as_str).or_else(of_batch);
    if name == Some(LETTERS) { (LETTERS, Table::Letters) } else { (ITEMS, Table::Groups) }
}

/// The hash of a message in the trace. Bodies of notices are left out: hosts tell each other how long calls took.
fn traced(body: &Value) -> u64 {
    let text = body.to_string();
    if !text.contains(NOTICE) {
        return trace::hash(&text);
    }
    let mut body = body.clone();
    leave_out_notices(&mut body);
    trace::hash(&body)
}

fn leave_out_notices(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove(NOTICE);
            members.values_mut().for_each(leave_out_notices);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_notices),
        _ => {}
    }
}
