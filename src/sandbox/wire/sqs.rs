//! SQS, in its JSON protocol.

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use super::Reply;
use super::calls::Call;
use crate::sandbox::account::Account;
use crate::sandbox::ids::hex;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::sqs::Message;
use crate::sandbox::state::State;
use crate::units::{Span, to_usize};

/// What of SQS is served.
pub(super) const OPERATIONS: [&str; 9] = [
    "GetQueueUrl",
    "GetQueueAttributes",
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "SendMessage",
    "SendMessageBatch",
    "CreateQueue",
    "ListQueues",
];

/// Most messages of one request.
const BATCH_MOST: usize = 10;
/// Longest wait of ReceiveMessage, in seconds.
const WAIT_MOST: i64 = 20;
/// Longest time a message may be hidden or delayed, in seconds.
const HIDDEN_MOST: i64 = 43_200;
const DELAY_MOST: i64 = 900;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let answer = match call.operation {
        "GetQueueUrl" => state.queue_url(input, &call.host),
        "GetQueueAttributes" => state.queue_attributes(input),
        "DeleteMessage" => state.delete_message(input),
        "DeleteMessageBatch" => state.delete_messages(input),
        "SendMessage" => state.send_message(input),
        "SendMessageBatch" => state.send_messages(input),
        "CreateQueue" => state.create_queue(input, &call.host),
        _ => {
            let urls = state.sqs.names().map(|name| state.url(name, &call.host));
            Ok(json!({"QueueUrls": urls.collect::<Vec<String>>()}))
        }
    };
    answer.map(Reply::Members)
}

/// ReceiveMessage waits, in simulated time.
pub(super) async fn receive(account: &Account, call: Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let wait = in_range(input, "WaitTimeSeconds", WAIT_MOST)?.unwrap_or(0);
    let most = input.whole("MaxNumberOfMessages")?.unwrap_or(1);
    if !(1..=10).contains(&most) {
        return Err(invalid("MaxNumberOfMessages", most));
    }
    let hidden = in_range(input, "VisibilityTimeout", HIDDEN_MOST)?.map(Span::from_seconds);
    let url = required(input, "QueueUrl")?.to_owned();
    let received = account.ask_until(Span::from_seconds(wait), move |state| {
        let name = match state.queue_named(&url) {
            Ok(name) => name,
            Err(refused) => return Some(Err(refused)),
        };
        let messages = state.sqs.receive(&name, to_usize(most), hidden, state.now);
        let told: Vec<Value> = messages.iter().map(|message| state.message(&name, message)).collect();
        (!told.is_empty()).then_some(Ok(told))
    });
    let messages = received.await?.transpose()?;
    let answer = messages.map_or(json!({}), |messages| json!({"Messages": messages}));
    Ok(Reply::Members(answer))
}

impl State {
    fn url(&self, name: &str, host: &str) -> String {
        format!("http://{host}/{}/{name}", self.names.account)
    }

    /// The queue of a URL, whatever host is in it.
    fn queue_named(&self, url: &str) -> Taken<String> {
        let mut parts = url.rsplit('/');
        let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if account == self.names.account && self.sqs.get(name).is_some() {
            return Ok(name.to_owned());
        }
        Err(no_such_queue())
    }

    fn queue_url(&self, input: Input<'_>, host: &str) -> Taken<Value> {
        let name = required(input, "QueueName")?;
        let owner = input.text("QueueOwnerAWSAccountId")?;
        let found = self
            .sqs
            .get(name)
            .filter(|_| owner.is_none_or(|owner| owner == self.names.account));
        found.ok_or_else(no_such_queue)?;
        Ok(json!({"QueueUrl": self.url(name, host)}))
    }

    fn queue_attributes(&self, input: Input<'_>) -> Taken<Value> {
        let name = self.queue_named(required(input, "QueueUrl")?)?;
        let wanted = input.texts("AttributeNames")?;
        let (Some(queue), Some(counts)) = (self.sqs.get(&name), self.sqs_counts(&name)) else {
            return Err(no_such_queue());
        };
        let seconds = |span: Span| (span.millis() / 1_000).to_string();
        let at = (queue.created.millis() / 1_000).to_string();
        let all = [
            ("ApproximateNumberOfMessages", counts.visible.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
            ("CreatedTimestamp", at.clone()),
            ("LastModifiedTimestamp", at),
            ("VisibilityTimeout", seconds(queue.invisible)),
            ("MessageRetentionPeriod", seconds(queue.kept)),
            ("DelaySeconds", seconds(queue.delay)),
            ("ReceiveMessageWaitTimeSeconds", "0".to_owned()),
            ("MaximumMessageSize", "262144".to_owned()),
            ("QueueArn", self.names.arn("sqs", &name)),
            ("SqsManagedSseEnabled", "true".to_owned()),
        ];
        // Members that the model knows and a plain queue has not.
        let known = [
            "All",
            "Policy",
            "RedrivePolicy",
            "RedriveAllowPolicy",
            "KmsMasterKeyId",
            "FifoQueue",
        ];
        let strange = wanted
            .iter()
            .find(|name| !known.contains(name) && all.iter().all(|(known, _)| known != *name));
        if let Some(strange) = strange {
            let text = format!("Unknown Attribute {strange}.");
            return Err(Refused::new(400, "InvalidAttributeName", text));
        }
        let chosen = |name: &str| wanted.contains(&"All") || wanted.contains(&name);
        let told = all.into_iter().filter(|(name, _)| chosen(name));
        let told: Map<String, Value> = told.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        Ok(if told.is_empty() {
            json!({})
        } else {
            json!({"Attributes": told})
        })
    }

    fn message(&self, queue: &str, message: &Message) -> Value {
        let first = message.first_received.unwrap_or(message.sent);
        json!({
            "MessageId": self.names.uuid(6, message.number),
            "ReceiptHandle": self.receipt(queue, message),
            "MD5OfBody": md5_of(&message.body),
            "Body": message.body,
            "Attributes": {
                "SentTimestamp": message.sent.millis().to_string(),
                "ApproximateReceiveCount": message.received.to_string(),
                "ApproximateFirstReceiveTimestamp": first.millis().to_string(),
                "SenderId": self.names.account,
            },
        })
    }

    fn delete_message(&mut self, input: Input<'_>) -> Taken<Value> {
        let name = self.queue_named(required(input, "QueueUrl")?)?;
        let receipt = required(input, "ReceiptHandle")?;
        let number = self.number_of(&name, receipt).ok_or_else(|| bad_receipt(receipt))?;
        self.sqs.delete(&name, number);
        Ok(json!({}))
    }

    fn delete_messages(&mut self, input: Input<'_>) -> Taken<Value> {
        let name = self.queue_named(required(input, "QueueUrl")?)?;
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (id, entry) in entries(input)? {
            let receipt = required(entry, "ReceiptHandle")?;
            if let Some(number) = self.number_of(&name, receipt) {
                self.sqs.delete(&name, number);
                done.push(json!({"Id": id}));
            } else {
                let refused = bad_receipt(receipt);
                let told = json!({"Id": id, "SenderFault": true, "Code": refused.code, "Message": refused.message});
                failed.push(told);
            }
        }
        Ok(json!({"Successful": done, "Failed": failed}))
    }

    fn send_message(&mut self, input: Input<'_>) -> Taken<Value> {
        let name = self.queue_named(required(input, "QueueUrl")?)?;
        self.send_one(&name, input)
    }

    fn send_messages(&mut self, input: Input<'_>) -> Taken<Value> {
        let name = self.queue_named(required(input, "QueueUrl")?)?;
        let mut done = Vec::new();
        for (id, entry) in entries(input)? {
            let mut told = self.send_one(&name, entry)?;
            if let Value::Object(members) = &mut told {
                members.insert("Id".to_owned(), json!(id));
            }
            done.push(told);
        }
        Ok(json!({"Successful": done, "Failed": []}))
    }

    fn send_one(&mut self, name: &str, input: Input<'_>) -> Taken<Value> {
        let body = required(input, "MessageBody")?.to_owned();
        let delay = in_range(input, "DelaySeconds", DELAY_MOST)?.map(Span::from_seconds);
        let digest = md5_of(&body);
        let number = self.sqs.send(name, body, delay, self.now).ok_or_else(no_such_queue)?;
        Ok(json!({"MessageId": self.names.uuid(6, number), "MD5OfMessageBody": digest}))
    }

    fn create_queue(&mut self, input: Input<'_>, host: &str) -> Taken<Value> {
        let name = required(input, "QueueName")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.len() > 80 || !name.chars().all(allowed) {
            let text = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(Refused::new(400, "InvalidParameterValue", text));
        }
        let attributes = input.map("Attributes")?;
        let seconds = |wanted: &str| {
            let mut named = attributes.iter().filter(|(name, _)| *name == wanted);
            named.find_map(|(_, value)| value.parse().ok()).map(Span::from_seconds)
        };
        let now = self.now;
        let queue = self.sqs.create(name, now);
        queue.invisible = seconds("VisibilityTimeout").unwrap_or(queue.invisible);
        queue.kept = seconds("MessageRetentionPeriod").unwrap_or(queue.kept);
        queue.delay = seconds("DelaySeconds").unwrap_or(queue.delay);
        Ok(json!({"QueueUrl": self.url(name, host)}))
    }
}

fn no_such_queue() -> Refused {
    Refused::new(400, "QueueDoesNotExist", "The specified queue does not exist.")
}

fn bad_receipt(receipt: &str) -> Refused {
    let text = format!("The input receipt handle \"{receipt}\" is not a valid receipt handle.");
    Refused::new(400, "ReceiptHandleIsInvalid", text)
}

fn invalid(name: &str, value: i64) -> Refused {
    let text = format!("Value {value} for parameter {name} is invalid. Reason: Must be within its range.");
    Refused::new(400, "InvalidParameterValue", text)
}

fn in_range(input: Input<'_>, name: &str, most: i64) -> Taken<Option<i64>> {
    match input.whole(name)? {
        Some(value) if !(0..=most).contains(&value) => Err(invalid(name, value)),
        other => Ok(other),
    }
}

fn required<'a>(input: Input<'a>, name: &str) -> Taken<&'a str> {
    let missing = || {
        Refused::new(
            400,
            "MissingParameter",
            format!("The request must contain the parameter {name}."),
        )
    };
    input.text(name)?.ok_or_else(missing)
}

/// Entries of a batch, by their ids.
fn entries(input: Input<'_>) -> Taken<Vec<(&str, Input<'_>)>> {
    let entries = input.structures("Entries")?;
    if entries.is_empty() {
        let text = "There should be at least one entry in the request.";
        return Err(Refused::new(400, "EmptyBatchRequest", text));
    }
    if entries.len() > BATCH_MOST {
        let text = format!(
            "Maximum number of entries per request are 10. You have sent {}.",
            entries.len()
        );
        return Err(Refused::new(400, "TooManyEntriesInBatchRequest", text));
    }
    let mut read = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = required(entry, "Id")?;
        if read.iter().any(|(known, _)| *known == id) {
            return Err(Refused::new(
                400,
                "BatchEntryIdsNotDistinct",
                format!("Id {id} repeated."),
            ));
        }
        read.push((id, entry));
    }
    Ok(read)
}

/// SQS answers with it, and clients compare.
fn md5_of(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}
