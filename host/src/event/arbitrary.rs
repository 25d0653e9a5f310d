//! Events of every shape, for the property tests.

use audit_plugin_api::{Action, Metadata, PermissionAuditEvent, Timestamp, Uuid};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// An event with an id and a time, whose texts hold what must be escaped as often as what must not.
pub fn event() -> impl Strategy<Value = PermissionAuditEvent> {
    let texts = || vec(text(), 0..5);
    let who = (option::of(text()), option::of(text()), option::of(text()));
    let stamp = (any::<[u8; 16]>(), any::<i64>());
    let action = proptest::sample::select(&Action::ALL[..]);
    (stamp, action, texts(), any::<(bool, bool)>(), who, texts(), option::of(metadata())).prop_map(
        |((id, micros), action, attributes, (granted, bypassed), who, permissions, metadata)| {
            PermissionAuditEvent {
                event_id: Some(Uuid::from_bytes(id)),
                timestamp: Some(Timestamp::from_micros(micros)),
                action,
                attributes,
                granted,
                bypassed,
                manager: who.0,
                user_id: who.1,
                user: who.2,
                permissions,
                metadata,
            }
        },
    )
}

/// Text of all planes of Unicode, with and without what must be escaped.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_.:-]{0,40}", "[\"\\\\\u{0}-\u{20}a-c]{0,20}", any::<String>()]
}

/// Any JSON object, nested a little.
pub fn metadata() -> impl Strategy<Value = Metadata> {
    json_object().prop_map(|json| Metadata::from_json(&json).expect("the text is a JSON object"))
}

/// The text of an object: keys may repeat, whitespace stands where it may.
fn json_object() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-0.0e+7".to_owned()),
        Just("1e999".to_owned()),
        Just(r#""\ud83d \u0041\/""#.to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        text().prop_map(|text| quoted(&text)),
    ];
    let value = scalar.prop_recursive(4, 24, 4, |value| {
        prop_oneof![
            vec(value.clone(), 0..4).prop_map(|items| format!("[ {} ]", items.join(" , "))),
            object_of(value),
        ]
    });
    object_of(value)
}

fn object_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    vec((prop_oneof![Just("same".to_owned()), text()], value), 0..4).prop_map(|members| {
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("{} :\t{value}", quoted(key))).collect();
        format!("{{ {} }}", members.join(","))
    })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
