//! What a request needs permission for: IAM's actions and resources.

use hyper::Method;
use hyper::http::request;
use serde_json::Value;

use super::target::target;

/// An action, and what it acts on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// For example `dynamodb:PutItem`.
    pub action: String,
    /// The end of the resource's ARN, after region and account, such as `table/races`. `None` if the request does not show
    /// it: its token or iterator does.
    pub resource: Option<String>,
    /// The partition key that a query is for.
    pub leading_key: Option<String>,
}

impl Access {
    fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: Some(resource.into()), leading_key: None }
    }

    fn unknown(action: impl Into<String>) -> Self {
        Self { action: action.into(), resource: None, leading_key: None }
    }
}

/// What a request needs permission for.
pub(super) fn of(head: &request::Parts, body: &[u8]) -> Vec<Access> {
    let (service, operation) = target(&head.headers);
    let path = head.uri.path();
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    match service {
        _ if service.starts_with("DynamoDB_") => dynamodb(operation, &json),
        _ if service.starts_with("Kinesis_") => vec![kinesis(operation, &json)],
        "AmazonSQS" => {
            let queue = json["QueueUrl"].as_str().or(json["QueueName"].as_str()).unwrap_or_default();
            vec![Access::new(format!("sqs:{operation}"), last_part(queue, '/'))]
        }
        _ => match path.rsplit_once("/operation/") {
            Some((_, operation)) => vec![Access::new(format!("cloudwatch:{operation}"), "*")],
            None if is_lambda(path) => vec![lambda(path)],
            None => s3(&head.method, path),
        },
    }
}

/// What a response shows of permissions: S3 answers that an object is not there to those only who may list the bucket.
pub(super) fn of_missing(head: &request::Parts) -> Option<Access> {
    let path = head.uri.path();
    let is_s3 = target(&head.headers).1.is_empty() && !path.contains("/operation/") && !is_lambda(path);
    is_s3.then(|| Access::new("s3:ListBucket", bucket_of(path)))
}

fn last_part(text: &str, separator: char) -> &str {
    text.rsplit(separator).next().unwrap_or(text)
}

fn dynamodb(operation: &str, body: &Value) -> Vec<Access> {
    let action = format!("dynamodb:{operation}");
    let of_table = |table: &str| format!("table/{}", last_part(table, '/'));
    match operation {
        "BatchExecuteStatement" | "ExecuteTransaction" => {
            let statements = ["Statements", "TransactStatements"].iter().find_map(|name| body[name].as_array());
            statements.into_iter().flatten().map(|statement| partiql(&statement["Statement"])).collect()
        }
        "TransactWriteItems" => {
            let members = body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object);
            let of_member = |(kind, of): (&String, &Value)| {
                let table = of_table(of["TableName"].as_str().unwrap_or_default());
                Access::new(format!("dynamodb:{}Item", kind.trim_end_matches("Item")), table)
            };
            members.flatten().map(of_member).collect()
        }
        "ExecuteStatement" => vec![partiql(&body["Statement"])],
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flat_map(|tables| tables.keys());
            tables.map(|table| Access::new(&*action, of_table(table))).collect()
        }
        _ => {
            let table = of_table(body["TableName"].as_str().unwrap_or_default());
            let resource = match body["IndexName"].as_str() {
                Some(index) => format!("{table}/index/{index}"),
                None => table,
            };
            let values = body["ExpressionAttributeValues"].as_object();
            let leading = values.filter(|_| operation == "Query").and_then(|values| values.values().next());
            let leading_key = leading.and_then(|value| value["S"].as_str()).map(str::to_owned);
            vec![Access { leading_key, ..Access::new(action, resource) }]
        }
    }
}

/// A statement such as `UPDATE "races" SET …`.
fn partiql(statement: &Value) -> Access {
    let text = statement.as_str().unwrap_or_default().trim_start();
    let action = match text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "INSERT" => "dynamodb:PartiQLInsert",
        "UPDATE" => "dynamodb:PartiQLUpdate",
        "DELETE" => "dynamodb:PartiQLDelete",
        _ => "dynamodb:PartiQLSelect",
    };
    Access::new(action, format!("table/{}", text.split('"').nth(1).unwrap_or_default()))
}

fn kinesis(operation: &str, body: &Value) -> Access {
    let action = format!("kinesis:{operation}");
    let arn = |name: &str| body[name].as_str().map(|arn| arn.splitn(6, ':').last().unwrap_or(arn).to_owned());
    let stream = body["StreamName"].as_str().map(|name| format!("stream/{name}"));
    let resource = arn("ConsumerARN").or(stream).or_else(|| arn("StreamARN"));
    match resource {
        // Of a consumer that is named within its stream.
        Some(stream) if operation == "DescribeStreamConsumer" && !stream.contains("/consumer/") => {
            let name = body["ConsumerName"].as_str().unwrap_or_default();
            Access::new(action, format!("{stream}/consumer/{name}"))
        }
        Some(resource) => Access::new(action, resource),
        None => Access::unknown(action),
    }
}

fn is_lambda(path: &str) -> bool {
    // Its paths begin with the date of their version.
    let date = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    date.len() == 10 && date.bytes().filter(|byte| *byte == b'-').count() == 2
}

fn lambda(path: &str) -> Access {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[1..] {
        ["functions", name, "configuration"] => {
            Access::new("lambda:GetFunctionConfiguration", format!("function:{name}"))
        }
        ["functions", name, "concurrency"] => Access::new("lambda:GetFunctionConcurrency", format!("function:{name}")),
        ["functions", name] => Access::new("lambda:GetFunction", format!("function:{name}")),
        ["event-source-mappings"] => Access::new("lambda:ListEventSourceMappings", "*"),
        ["event-source-mappings", id] => {
            Access::new("lambda:GetEventSourceMapping", format!("event-source-mapping:{id}"))
        }
        _ => Access::new(format!("lambda:{path}"), "*"),
    }
}

fn bucket_of(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn s3(method: &Method, path: &str) -> Vec<Access> {
    let bucket = bucket_of(path);
    let object = path.trim_start_matches('/');
    let is_bucket = object.trim_end_matches('/') == bucket;
    let action = match (method.as_str(), is_bucket) {
        ("GET" | "HEAD", true) => return vec![Access::new("s3:ListBucket", bucket)],
        ("GET" | "HEAD", false) => "s3:GetObject",
        ("PUT" | "POST", false) => "s3:PutObject",
        ("DELETE", false) => "s3:DeleteObject",
        _ => return vec![Access::new(format!("s3:{method}"), bucket)],
    };
    vec![Access::new(action, object)]
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use serde_json::json;

    use super::*;

    fn accesses(method: &str, path: &str, target: &str, body: &Value) -> Vec<String> {
        let request = Request::builder().method(method).uri(path).header("x-amz-target", target).body(()).unwrap();
        let (head, ()) = request.into_parts();
        let shown = |access: Access| {
            let leading = access.leading_key.map_or(String::new(), |key| format!(" of {key}"));
            format!("{} {}{leading}", access.action, access.resource.as_deref().unwrap_or("?"))
        };
        of(&head, body.to_string().as_bytes()).into_iter().map(shown).collect()
    }

    #[test]
    fn a_request_to_dynamodb_names_its_tables() {
        let accesses =
            |operation: &str, body: Value| accesses("POST", "/", &format!("DynamoDB_20120810.{operation}"), &body);
        assert_eq!(accesses("PutItem", json!({ "TableName": "t" })), ["dynamodb:PutItem table/t"]);
        let both = json!({ "RequestItems": { "a": {}, "arn:aws:dynamodb:r:1:table/b": {} } });
        assert_eq!(accesses("BatchGetItem", both), ["dynamodb:BatchGetItem table/a", "dynamodb:BatchGetItem table/b"]);
        let table = json!({ "TableName": "t" });
        let members = json!({ "TransactItems": [{ "Put": table }, { "ConditionCheck": table }] });
        assert_eq!(
            accesses("TransactWriteItems", members),
            ["dynamodb:PutItem table/t", "dynamodb:ConditionCheckItem table/t"]
        );
        let statements = [r#"INSERT INTO "t" VALUE {}"#, r#"UPDATE "t" SET a = 1"#, r#"select * from "t"."i""#];
        let statements: Value = statements.iter().map(|statement| json!({ "Statement": statement })).collect();
        assert_eq!(
            accesses("BatchExecuteStatement", json!({ "Statements": statements })),
            ["dynamodb:PartiQLInsert table/t", "dynamodb:PartiQLUpdate table/t", "dynamodb:PartiQLSelect table/t"]
        );
        let query = json!({ "TableName": "t", "IndexName": "i", "ExpressionAttributeValues": { ":p": { "S": "k" } } });
        assert_eq!(accesses("Query", query), ["dynamodb:Query table/t/index/i of k"]);
    }

    #[test]
    fn a_request_to_kinesis_names_its_stream_or_consumer_unless_a_token_does() {
        let accesses =
            |operation: &str, body: Value| accesses("POST", "/", &format!("Kinesis_20131202.{operation}"), &body);
        assert_eq!(accesses("PutRecords", json!({ "StreamName": "s" })), ["kinesis:PutRecords stream/s"]);
        assert_eq!(accesses("GetRecords", json!({ "ShardIterator": "x" })), ["kinesis:GetRecords ?"]);
        let arn = "arn:aws:kinesis:us-east-1:1:stream/s";
        assert_eq!(
            accesses("RegisterStreamConsumer", json!({ "StreamARN": arn, "ConsumerName": "c" })),
            ["kinesis:RegisterStreamConsumer stream/s"]
        );
        assert_eq!(
            accesses("DescribeStreamConsumer", json!({ "StreamARN": arn, "ConsumerName": "c" })),
            ["kinesis:DescribeStreamConsumer stream/s/consumer/c"]
        );
        let consumer = json!({ "ConsumerARN": format!("{arn}/consumer/c:7") });
        assert_eq!(accesses("SubscribeToShard", consumer), ["kinesis:SubscribeToShard stream/s/consumer/c:7"]);
    }

    #[test]
    fn the_other_services_are_known_by_their_paths() {
        let none = Value::Null;
        assert_eq!(accesses("GET", "/b/rules/head", "", &none), ["s3:GetObject b/rules/head"]);
        assert_eq!(accesses("PUT", "/b/rules/log/1.json", "", &none), ["s3:PutObject b/rules/log/1.json"]);
        assert_eq!(accesses("GET", "/b?list-type=2", "", &none), ["s3:ListBucket b"]);
        assert_eq!(
            accesses("GET", "/2015-03-31/functions/f/configuration", "", &none),
            ["lambda:GetFunctionConfiguration function:f"]
        );
        let path = "/2015-03-31/event-source-mappings?FunctionName=f";
        assert_eq!(accesses("GET", path, "", &none), ["lambda:ListEventSourceMappings *"]);
        let path = "/service/GraniteServiceVersion20100801/operation/GetMetricData";
        assert_eq!(accesses("POST", path, "", &none), ["cloudwatch:GetMetricData *"]);
        let queue = json!({ "QueueUrl": "http://127.0.0.1:1/123456789012/q" });
        assert_eq!(accesses("POST", "/", "AmazonSQS.DeleteMessage", &queue), ["sqs:DeleteMessage q"]);
    }
}
