use audit_host::config::Config;
use audit_host::logger::{AuditLogger, Loading, Logger};
use audit_plugin_api::{Action, PermissionAuditEvent};
use std::time::Duration;

fn events_reach_kafka(folder: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_str(r#"audit_logger = "fake.FakeProducerAuditLogger""#, folder)?;
    let logger = Logger::open(config, &Loading::default())?;
    logger.record(&PermissionAuditEvent::new(Action::Read, true).user_id("42"))?;
    logger.flush(Duration::from_secs(5))?;
    let sent = logger.inspect("fake.FakeProducerAuditLogger", "sent_messages")?.reply;
    assert_eq!(sent["sent_messages"][0]["key"], "42");
    Ok(())
}
