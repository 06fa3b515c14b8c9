//! JSON Schema of the configuration in an independent validator: the schema accepts all files that `check` accepts, and
//! the output of `config show`, and rejects errors that a schema can express.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::deploy_files::root;
use crate::commands::output;
use crate::interop::edge::binary;
use crate::interop::{Setting, python};

/// Invalid files, each with one error.
const WRONG: [&str; 24] = [
    "[edge]\nnam = 'x'",
    "[edge]\nname = 'a b'",
    "[media]\nthreads = 300",
    "[media]\nlatch = 'loose'",
    "[limits]\nban = { afer = 1 }",
    "[http]\ntoken = { env = 'A', file = 'B' }",
    "[trunk.x]\nring_timeout = 30",
    "[trunk.x]\nptime = 25",
    "[trunk.x]\npeers = [{ priority = 1 }]",
    "[trunk.x]\ncodecs = 'PCMU'",
    "[[route]]\nrecord = 'yes'",
    "[recording]\nformat = 'mp3'",
    "[recording]\ndirectory = 'x'\nannounce_to = 'none'",
    "[siprec.x]\nrequired = true",
    "[siprec.'x y']\npeers = 'sip:192.0.2.9'",
    "[siprec.x]\npeers = 5060",
    "[siprec.x]\npeers = [{ weight = 1 }]",
    "[siprec.x]\npeers = 'sip:192.0.2.9'\nrequired = 'yes'",
    "[siprec.x]\npeers = 'sip:192.0.2.9'\nsrtp = 'always'",
    "[siprec.x]\npeers = 'sip:192.0.2.9'\nsrtp_suites = ['AES']",
    "[siprec.x]\npeers = 'sip:192.0.2.9'\nring_timeout = '30s'",
    "[siprec.x]\npeers = 'sip:192.0.2.9'\nno_response_timeout = 4",
    "[[route]]\nsiprec = [{ name = 'x' }]",
    "[voicemail.x]\nsilence = 5",
];

/// Validates files of the tree, the TOML of documents, and the output of `config show` for both.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let schema = output(Command::new(binary()).args(["config", "schema"]))?;
    // Broken: a key of the schema has another name.
    let schema = if setting.sabotage { schema.replace("\"ring_timeout\"", "\"ringing\"") } else { schema };
    std::fs::write(at.join("schema.json"), schema)?;
    let mut right = written(at)?;
    let shown: Vec<PathBuf> = right.iter().filter_map(|file| shown(file)).collect();
    ensure!(shown.len() > right.len() / 2, "{} of {} can be shown", shown.len(), right.len());
    right.extend(shown);
    let mut wrong = Vec::new();
    for (n, text) in WRONG.iter().enumerate() {
        wrong.push(at.join(format!("wrong-{n}.toml")));
        std::fs::write(at.join(format!("wrong-{n}.toml")), text)?;
    }
    let mut judge = Command::new(python::schema()?);
    judge.arg(python::script("schema.py")).arg(at.join("schema.json")).args(&right).args(&wrong);
    let said = output(&mut judge)?;
    let lines: Vec<&str> = said.lines().collect();
    ensure!(lines.len() == right.len() + wrong.len(), "{said}");
    let (taken, refused) = lines.split_at(right.len());
    let faults: Vec<&&str> = taken.iter().filter(|line| !line.ends_with(" ok")).collect();
    ensure!(faults.is_empty(), "refused: {faults:#?}");
    let let_through: Vec<&&str> = refused.iter().filter(|line| line.ends_with(" ok")).collect();
    ensure!(let_through.is_empty(), "let through: {let_through:#?}");
    Ok(format!("{} files taken, {} refused", right.len(), wrong.len()))
}

/// Returns all complete configuration files of the tree.
fn written(at: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = vec![root().join("config/trunkgate.toml"), root().join("deploy/trunkgate.toml")];
    let folders = ["start", "guides", "configure", "operate", "reference"];
    let folders = [root()].into_iter().chain(folders.map(|folder| root().join("docs").join(folder)));
    let mut pages = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            pages.push(entry?.path());
        }
    }
    for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(page)?;
        for block in text.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()) {
            let file = at.join(format!("block-{}.toml", files.len()));
            std::fs::write(&file, block)?;
            files.push(file);
        }
    }
    Ok(files)
}

/// Returns the path of the output of `config show` for a file, which `check` accepts too; `None` if files named by the
/// file are missing. Environment variables that the file names are set.
fn shown(file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).ok()?;
    let secrets = text.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let secrets: Vec<(&str, &str)> = secrets.map(|name| (name, "0123456789abcdef0123456789abcdef")).collect();
    let with = |file: &Path, verb: &[&str]| {
        Command::new(binary()).arg("--config").arg(file).args(verb).envs(secrets.iter().copied()).output().ok()
    };
    let printed = with(file, &["config", "show"]).filter(|output| output.status.success())?;
    let again = file.with_extension("shown.toml");
    // The output is not placed next to a file of the tree.
    let again = if again.starts_with(root()) { std::env::temp_dir().join(again.file_name()?) } else { again };
    std::fs::write(&again, printed.stdout).ok()?;
    with(&again, &["check"]).filter(|output| output.status.success()).map(|_| again)
}
