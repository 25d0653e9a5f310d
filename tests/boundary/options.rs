//! Options that cannot be used.

use std::sync::Arc;

use audit_plugin_api::ErrorKind;
use audit_plugin_api::testing::{TestHost, context};
use serde_json::{Value, json};

use crate::{module, open_as};

#[test]
fn options_that_cannot_be_used_are_named_by_their_path() {
    let refused = |class: &str, options: Value| {
        let module = module();
        let error = module.validate(class, &options, &context()).expect_err("it is refused");
        let host = Arc::new(TestHost::new());
        assert_eq!(
            open_as(&context(), class, options, &host).err(),
            Some(error.clone()),
            "open agrees with validate"
        );
        assert_eq!(error.kind, ErrorKind::Permanent);
        (error.option.unwrap_or_default(), error.reason)
    };
    let path = |path: &str| path.to_owned();
    let (option, reason) = refused("test.Recording", json!({"pth": "x"}));
    assert_eq!(option, path("pth"));
    assert!(reason.contains("`pth`") && reason.contains("path, delay_ms"), "{reason}");
    let missing = refused("test.Recording", json!({}));
    assert_eq!(missing, (path(""), "the option `path` is missing".to_owned()));
    let wrong_type = refused("test.Recording", json!({"path": 7}));
    assert_eq!(wrong_type, (path("path"), "expected string, found integer".to_owned()));
    let out_of_range = refused("test.Recording", json!({"path": "x", "delay_ms": -1}));
    assert_eq!(out_of_range.0, path("delay_ms"));
    assert!(out_of_range.1.contains("from 0 to 18446744073709551615, found -1"), "{}", out_of_range.1);
    let nested = json!({"answers": [{"kind": "ok"}, {"kind": "ok", "positions": [1, "x"]}]});
    assert_eq!(
        refused("test.Failing", nested),
        (path("answers[1].positions[1]"), "expected integer, found string".to_owned())
    );
    let (option, reason) = refused("test.Failing", json!({"answers": [{"kind": "maybe"}]}));
    assert_eq!(option, path("answers[0].kind"));
    assert_eq!(reason, r#"expected one of "ok", "retryable", "permanent", "reopen", found "maybe""#);
    assert_eq!(refused("test.Extending", json!({"x": 1})).0, path("x"));
}

#[test]
fn what_a_sink_checks_itself_names_its_option() {
    let error =
        module().validate("test.Recording", &json!({"path": ""}), &context()).expect_err("it is refused");
    assert_eq!((error.option.as_deref(), error.reason.as_str()), (Some("path"), "the path is empty"));
    let error =
        open_as(&context(), "test.Recording", json!({"path": "no/such/folder"}), &Arc::new(TestHost::new()))
            .err()
            .expect("it is refused");
    assert_eq!(error.option.as_deref(), Some("path"));
}
