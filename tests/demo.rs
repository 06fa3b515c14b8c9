//! `trunkgate demo`, the real binary: exits 0 when all audio arrives intact, and notices when it does not.

#![allow(clippy::expect_used)]

use std::process::{Command, Output};

fn demo(sabotage: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkgate"));
    command.arg("demo").args(arguments).env_remove("TRUNKGATE_SABOTAGE");
    if let Some(sabotage) = sabotage {
        command.env("TRUNKGATE_SABOTAGE", sabotage);
    }
    command.output().expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn two_calls_arrive_intact() {
    let output = demo(None, &[]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in
        ["call 1: straight through", "call 2: the first trunk is silent", "INVITE", "identical", "ok: all audio"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("different"), "{text}");
}

#[test]
fn harmed_audio_is_noticed() {
    let output = demo(Some("audio"), &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert_eq!(outcome["ok"], false);
    for call in outcome["calls"].as_array().expect("calls") {
        assert_eq!(call["directions"][0]["damaged"], 0, "what the carrier says is not touched");
        assert_ne!(call["directions"][1]["damaged"], 0, "what the trunk says is");
    }
}

#[test]
fn an_unknown_sabotage_is_refused() {
    assert_eq!(demo(Some("nonsense"), &[]).status.code(), Some(2));
}
