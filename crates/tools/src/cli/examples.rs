//! The EXAMPLES sections of `--help`. A test parses every line as a command line.

pub(super) const PROGRAM: &str = "EXAMPLES:
  trunkgate demo                                 Try it on loopback: no configuration, no network
  trunkgate init --trunk twilio:acme.pstn.twilio.com --agent wss://agent.example.com/media
  trunkgate check && trunkgate doctor            Validate the file, then reach every peer
  trunkgate run --config /etc/trunkgate/trunkgate.toml
  trunkgate trace last                           Show the most recent call
  trunkgate help no_route                        Explain a reason, a SIP status or an error code";

pub(super) const RUN: &str = "EXAMPLES:
  trunkgate run
  trunkgate run --config /etc/trunkgate/trunkgate.toml --drain 2m";

pub(super) const KEEPER: &str = "EXAMPLES:
  trunkgate keeper -- run
  trunkgate keeper -- --config /etc/trunkgate/trunkgate.toml run --drain 2m";

pub(super) const DEMO: &str = "EXAMPLES:
  trunkgate demo
  trunkgate demo --serve";

pub(super) const INIT: &str = "EXAMPLES:
  trunkgate init
  trunkgate init --trunk twilio:acme.pstn.twilio.com --pbx freepbx:10.0.0.5
  trunkgate init --trunk carrier:198.51.100.7 --agent wss://agent.example.com/media --yes";

pub(super) const CHECK: &str = "EXAMPLES:
  trunkgate check
  trunkgate check --strict --config /etc/trunkgate/trunkgate.toml
  trunkgate check --json";

pub(super) const STATUS: &str = "EXAMPLES:
  trunkgate status
  trunkgate status --watch 5
  trunkgate status --check
  trunkgate status --url https://edge1.example.com:8080 --ca ca.pem --json";

pub(super) const CALLS: &str = "EXAMPLES:
  trunkgate calls --state answered --watch
  trunkgate calls --outcome failed --trunk carrier --limit 20
  trunkgate calls show last
  trunkgate calls hangup CA0123";

pub(super) const CALLS_LS: &str = "EXAMPLES:
  trunkgate calls ls --reason no_route
  trunkgate calls ls --flag one_way --json
  trunkgate calls ls --limit 1000 --csv";

pub(super) const CALLS_SHOW: &str = "EXAMPLES:
  trunkgate calls show last
  trunkgate calls show CA0123 --json";

pub(super) const CALLS_HANGUP: &str = "EXAMPLES:
  trunkgate calls hangup CA0123
  trunkgate calls hangup last";

pub(super) const TOP: &str = "EXAMPLES:
  trunkgate top
  trunkgate top --url http://127.0.0.1:8080";

pub(super) const TRACE: &str = "EXAMPLES:
  trunkgate trace last
  trunkgate trace CA0123 --svg call.svg
  trunkgate trace CA0123 --json";

pub(super) const RECORDINGS: &str = "EXAMPLES:
  trunkgate recordings --since 2026-11-25
  trunkgate recordings export last
  trunkgate recordings verify";

pub(super) const RECORDINGS_LS: &str = "EXAMPLES:
  trunkgate recordings ls --call CA0123456789abcdef0123456789abcdef
  trunkgate recordings ls --since 2026-11-01 --until 2026-12-01 --json";

pub(super) const RECORDINGS_SHOW: &str = "EXAMPLES:
  trunkgate recordings show last
  trunkgate recordings show RE0123 --json";

pub(super) const RECORDINGS_EXPORT: &str = "EXAMPLES:
  trunkgate recordings export RE0123
  trunkgate recordings export RE0123 RE4567 --output /tmp/audio
  trunkgate recordings export last --output - | ffplay -";

pub(super) const RECORDINGS_VERIFY: &str = "EXAMPLES:
  trunkgate recordings verify
  trunkgate recordings verify RE0123 --json";

pub(super) const RECORDINGS_DELETE: &str = "EXAMPLES:
  trunkgate recordings delete RE0123";

pub(super) const PCAP: &str = "EXAMPLES:
  trunkgate pcap last
  trunkgate pcap CA0123 --output call.pcapng";

pub(super) const CALL: &str = "EXAMPLES:
  trunkgate call sip:+14155550123@127.0.0.1:5060
  trunkgate call sip:+14155550123@sbc.example.com;transport=tls --srtp --codec G722
  trunkgate call sip:100@10.0.0.5 --from 200 --username 200 --dtmf 123# --duration 10s";

pub(super) const LOADTEST: &str = "EXAMPLES:
  trunkgate loadtest --calls 50 --cps 5 --duration 30s
  trunkgate loadtest --assert 'mos.p5>4.0,loss<0.1%,setup.p99<50ms' --junit results.xml
  trunkgate loadtest --to sip:+14155550123@127.0.0.1:5060 --answer 127.0.0.1:5080 --calls 100
  trunkgate loadtest --scenario uac.xml --total 20 --junit results.xml";

pub(super) const WHY: &str = "EXAMPLES:
  trunkgate why --from carrier --called +14155550123
  trunkgate why --from 198.51.100.7 --called 4155550123 --caller +12125550100
  trunkgate why --from carrier --called +14155550123 --at 2026-11-20T22:00
  trunkgate why --from api --called +442071838750 --caller +14155550100";

pub(super) const DOCTOR: &str = "EXAMPLES:
  trunkgate doctor
  trunkgate doctor --only peers --only agents
  trunkgate doctor --json";

pub(super) const AGENT: &str = "EXAMPLES:
  trunkgate agent test reception
  trunkgate agent test wss://agent.example.com/media --times 5";

pub(super) const AGENT_TEST: &str = "EXAMPLES:
  trunkgate agent test reception
  trunkgate agent test wss://agent.example.com/media --wav question.wav --out answer.wav
  trunkgate agent test reception --format l16/16000 --parameter language=en --times 10 --json";

pub(super) const PRESET: &str = "EXAMPLES:
  trunkgate preset list
  trunkgate preset show twilio
  trunkgate preset diff twilio";

pub(super) const PRESET_LIST: &str = "EXAMPLES:
  trunkgate preset list
  trunkgate preset list --json";

pub(super) const PRESET_SHOW: &str = "EXAMPLES:
  trunkgate preset show twilio";

pub(super) const PRESET_DIFF: &str = "EXAMPLES:
  trunkgate preset diff twilio --config /etc/trunkgate/trunkgate.toml";

pub(super) const CONFIG: &str = "EXAMPLES:
  trunkgate config show
  trunkgate config schema";

pub(super) const CONFIG_SHOW: &str = "EXAMPLES:
  trunkgate config show
  trunkgate config show --defaults --json";

pub(super) const CONFIG_SCHEMA: &str = "EXAMPLES:
  trunkgate config schema
  trunkgate config schema --markdown";

pub(super) const TWILIO: &str = "EXAMPLES:
  trunkgate twilio --app http://localhost:3000/voice           One call: what its caller hears
  trunkgate twilio --app http://localhost:3000/voice --step 'hear Welcome' --step 'press 1'
  trunkgate twilio --app http://localhost:3000/voice --start 'npm start' tests/*.call
  trunkgate twilio env
  trunkgate twilio hosts
  trunkgate twilio trust system";

pub(super) const TWILIO_ENV: &str = "EXAMPLES:
  trunkgate twilio env > edge.env                Then in a shell: . ./edge.env
  trunkgate twilio env --url http://127.0.0.1:8080 --directory /tmp/edge";

pub(super) const TWILIO_HOSTS: &str = "EXAMPLES:
  trunkgate twilio hosts                         The line for /etc/hosts
  trunkgate twilio hosts --url https://edge.example.com --address 192.0.2.10";

pub(super) const TWILIO_TRUST: &str = "EXAMPLES:
  trunkgate twilio trust system                  What would be changed
  trunkgate twilio trust system certifi --yes    As root
  trunkgate twilio trust certifi --python .venv/bin/python --yes
  trunkgate twilio trust system --undo --yes";

pub(super) const RELOAD: &str = "EXAMPLES:
  trunkgate check && trunkgate reload
  trunkgate reload --url https://edge1.example.com:8080 --json";

pub(super) const UPGRADE: &str = "EXAMPLES:
  trunkgate upgrade
  trunkgate upgrade --url https://edge1.example.com:8080 --json";

pub(super) const DRAIN: &str = "EXAMPLES:
  trunkgate drain
  trunkgate drain --undo";

pub(super) const COMPLETIONS: &str = "EXAMPLES:
  trunkgate completions bash > /etc/bash_completion.d/trunkgate
  trunkgate completions zsh > ~/.zfunc/_trunkgate";

pub(super) const MAN: &str = "EXAMPLES:
  trunkgate man
  trunkgate man /usr/local/share/man/man1";

pub(super) const HELP: &str = "EXAMPLES:
  trunkgate help calls
  trunkgate help TG0104
  trunkgate help target_rejected
  trunkgate help 503";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli::Cli;

    /// Checks the examples of a command and of its subcommands.
    fn check(command: &mut clap::Command, seen: &mut usize) {
        let help = command.render_help().to_string();
        let (_, examples) = help.split_once("EXAMPLES:\n").unwrap_or_else(|| panic!("{help}"));
        for line in examples.lines().filter(|line| !line.trim().is_empty()) {
            // An example may have a comment column or a redirection after the command.
            let line = line.trim().split("   ").next().unwrap().split(" > ").next().unwrap();
            for part in line.split(" && ") {
                let words: Vec<String> = part.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
                assert!(Cli::try_parse_from(&words).is_ok(), "{part}");
                *seen += 1;
            }
        }
        for verb in command.get_subcommands_mut() {
            check(verb, seen);
        }
    }

    #[test]
    fn every_verb_has_examples_that_parse() {
        let (mut command, mut seen) = (Cli::command(), 0);
        command.build();
        check(&mut command, &mut seen);
        assert!(seen > 60, "{seen}");
    }
}
