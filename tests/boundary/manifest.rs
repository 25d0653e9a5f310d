//! What a plugin says about itself.

use audit_plugin_api::Module;
use audit_plugin_api::manifest::Manifest;
use object::{Object, ObjectSymbol};
use serde_json::json;

use crate::{manifest, module, plugin};

#[test]
fn the_manifest_names_the_classes_that_the_module_has() {
    let manifest = manifest(&plugin("audit_test_sinks"));
    assert_eq!((manifest.api.as_str(), manifest.panic.as_str()), ("1.0.0", "unwind"));
    assert_eq!(manifest.crate_name, "audit-test-sinks");
    assert!(manifest.rustc.starts_with("rustc "), "{}", manifest.rustc);
    assert!(manifest.target.contains("linux"), "{}", manifest.target);
    let classes: Vec<&str> = manifest.classes.iter().map(|class| class.class.as_str()).collect();
    assert_eq!(module().classes(), classes);

    let recording = &manifest.classes[0];
    assert!(recording.durable);
    assert_eq!((recording.batch_size, recording.flush_interval), (Some(50), Some(0.05)));
    assert_eq!(recording.max_in_flight, None);
    let [path, delay] = recording.options.as_slice() else { panic!("{:?}", recording.options) };
    assert_eq!(
        (path.name.as_str(), path.required, path.types.as_slice()),
        ("path", true, &["string".to_owned()][..])
    );
    assert_eq!(path.help, "The file that is appended to.");
    assert_eq!((delay.required, &delay.default), (false, &json!(0)));
    let panicking =
        manifest.classes.iter().find(|class| class.class == "test.Panicking").expect("it is there");
    assert!(panicking.options[0].values.contains(&"drop".to_owned()), "{:?}", panicking.options[0]);
}

#[test]
fn a_plugin_exports_one_symbol() {
    let path = plugin("audit_test_sinks");
    let bytes = std::fs::read(&path).expect("the plugin was built");
    let file = object::File::parse(&*bytes).expect("it is an ELF file");
    let exports: Vec<String> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().expect("it is text").to_owned())
        .collect();
    assert_eq!(exports, [manifest(&path).entry_symbol()]);
}

#[test]
fn a_plugin_that_lacks_its_symbol_is_refused() {
    let path = plugin("audit_test_sinks");
    let manifest = Manifest { crate_name: "somebody-else".into(), ..manifest(&path) };
    let refused = Module::load(&path, &manifest).err().expect("it is refused");
    assert!(refused.summary.contains("audit_sinks_of_somebody_else"), "{refused}");
    assert!(refused.summary.contains("libaudit_test_sinks.so"), "{refused}");
}

