//! Answers in the protocol of the question.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use ciborium::value::Value as Cbor;
use serde_json::{Map, Value, json};

use super::Reply;
use super::calls::Protocol;
use crate::sandbox::refused::Refused;

/// Members that hold times; JSON has them as seconds, CBOR marks them.
const TIMES: [&str; 2] = ["Timestamp", "Timestamps"];
/// CBOR's tag of seconds since 1970.
const EPOCH_TAG: u64 = 1;
/// How deep a request may be nested.
const DEPTH_MOST: usize = 32;

pub(super) fn reply(protocol: Protocol, reply: &Reply, id: &str) -> Response {
    match reply {
        Reply::Members(members) => answer(protocol, 200, members, id),
        Reply::Xml(text) => respond(200, "text/xml;charset=UTF-8", text.clone().into_bytes(), id),
    }
}

pub(super) fn refused(protocol: Protocol, refused: &Refused, id: &str) -> Response {
    let (code, message) = (refused.code, &refused.message);
    match protocol {
        Protocol::RestJson => {
            let mut response = answer(protocol, refused.status, &json!({"message": message}), id);
            put(&mut response, "x-amzn-errortype", code);
            response
        }
        Protocol::Json(_) | Protocol::Cbor => {
            // Both spellings are in use: SQS and ECS say `message`, others `Message`; clients take either.
            let body = json!({"__type": code, "message": message});
            let mut response = answer(protocol, refused.status, &body, id);
            // SQS goes on to tell what its older protocol called the error.
            if code == "QueueDoesNotExist" {
                put(
                    &mut response,
                    "x-amzn-query-error",
                    "AWS.SimpleQueueService.NonExistentQueue;Sender",
                );
            }
            response
        }
        Protocol::Query => {
            let side = if refused.status < 500 { "Sender" } else { "Receiver" };
            let text = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{side}</Type><Code>{code}</Code>\
                 <Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
                escaped(message)
            );
            respond(refused.status, "text/xml", text.into_bytes(), id)
        }
        Protocol::Ec2 => {
            let text = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{}</Message>\
                 </Error></Errors><RequestID>{id}</RequestID></Response>",
                escaped(message)
            );
            respond(refused.status, "text/xml;charset=UTF-8", text.into_bytes(), id)
        }
    }
}

fn answer(protocol: Protocol, status: u16, members: &Value, id: &str) -> Response {
    match protocol {
        Protocol::Cbor => {
            let mut bytes = Vec::new();
            let _ = ciborium::into_writer(&to_cbor(members, false), &mut bytes);
            let mut response = respond(status, "application/cbor", bytes, id);
            put(&mut response, "smithy-protocol", "rpc-v2-cbor");
            response
        }
        Protocol::Json(version) => {
            let kind = format!("application/x-amz-json-{version}");
            respond(status, &kind, members.to_string().into_bytes(), id)
        }
        Protocol::RestJson | Protocol::Query | Protocol::Ec2 => {
            respond(status, "application/json", members.to_string().into_bytes(), id)
        }
    }
}

fn respond(status: u16, kind: &str, body: Vec<u8>, id: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    put(&mut response, header::CONTENT_TYPE.as_str(), kind);
    put(&mut response, "x-amzn-requestid", id);
    response
}

fn put(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}

/// Text in XML. What XML cannot hold at all is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(c),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

fn to_cbor(value: &Value, is_time: bool) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(number) => {
            let plain = match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Cbor::Integer(whole.into()),
                (None, fraction) => Cbor::Float(fraction.unwrap_or(0.0)),
            };
            if is_time {
                Cbor::Tag(EPOCH_TAG, Box::new(plain))
            } else {
                plain
            }
        }
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(values) => Cbor::Array(values.iter().map(|value| to_cbor(value, is_time)).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let value = to_cbor(value, TIMES.contains(&name.as_str()));
                (Cbor::Text(name.clone()), value)
            };
            Cbor::Map(members.iter().map(member).collect())
        }
    }
}

/// Members of a CBOR body; times become seconds. `None` for what is none.
pub(super) fn from_cbor(body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        return Some(Value::Object(Map::new()));
    }
    let read: Cbor = ciborium::de::from_reader_with_recursion_limit(body, DEPTH_MOST).ok()?;
    from_value(read).filter(Value::is_object)
}

fn from_value(value: Cbor) -> Option<Value> {
    Some(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(flag) => json!(flag),
        Cbor::Integer(whole) => json!(i64::try_from(whole).ok()?),
        Cbor::Float(number) => json!(number),
        Cbor::Text(text) => json!(text),
        Cbor::Tag(EPOCH_TAG, seconds) => from_value(*seconds)?,
        Cbor::Array(values) => Value::Array(values.into_iter().map(from_value).collect::<Option<_>>()?),
        Cbor::Map(members) => {
            let member = |(name, value): (Cbor, Cbor)| Some((name.into_text().ok()?, from_value(value)?));
            Value::Object(members.into_iter().map(member).collect::<Option<_>>()?)
        }
        Cbor::Bytes(_) | Cbor::Tag(..) | _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_keeps_members_and_marks_times_only() {
        let members = json!({"Datapoints": [{"Timestamp": 1_782_000_000, "Maximum": 2.5}], "Label": "x", "Ok": true});
        let mut bytes = Vec::new();
        ciborium::into_writer(&to_cbor(&members, false), &mut bytes).unwrap();
        assert_eq!(from_cbor(&bytes), Some(members));
        // Tag 1 stands before the time.
        assert!(bytes.windows(2).any(|pair| pair == [0xc1, 0x1a]));
        for wrong in [&b"\xff"[..], b"\x01", b"\xa1\x01\x02", &[0x81; 10_000]] {
            assert_eq!(from_cbor(wrong), None);
        }
    }

    #[test]
    fn text_of_others_stays_text_in_xml() {
        assert_eq!(escaped("<a href=\"x\">&\u{7}"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
