//! baresip as a phone: sends a tone from a file and records the received audio, after decryption.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::rtp::SAMPLE_RATE;
use super::sound::{self, Sound};

/// Length of a tone file in seconds.
const TONE_SECONDS: u32 = 120;

/// Port at which the phone accepts commands.
const CONTROL_PORT: u16 = 4444;

/// Configuration of a phone.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// IP address of the phone.
    pub(crate) ip: &'a str,
    /// SIP port for UDP and TCP; 0 for any port, if the phone only calls.
    pub(crate) port: u16,
    /// Account line; with `mwi=yes`, the phone subscribes to message notifications.
    pub(crate) account: &'a str,
    /// WAV file that the phone sends, at the rate and with the channels of its codec.
    pub(crate) says: Vec<u8>,
    /// Certificate that the phone trusts for TLS.
    pub(crate) ca: Option<&'a Path>,
    /// Target that the phone calls at once.
    pub(crate) dial: Option<&'a str>,
    /// Time after which the phone hangs up and ends.
    pub(crate) lasts: Option<Duration>,
}

/// Running phone, ended on drop.
#[derive(Debug)]
pub(crate) struct Baresip {
    child: Child,
    ip: String,
    folder: tempfile::TempDir,
}

impl Baresip {
    /// Starts the phone.
    pub(crate) fn start(setup: &Setup<'_>) -> anyhow::Result<Baresip> {
        // Unbuffered output, because the log is read while the phone runs.
        Baresip::start_by(Command::new("stdbuf"), setup)
    }

    /// Starts the phone by a `stdbuf` that is run in another way.
    pub(crate) fn start_by(mut command: Command, setup: &Setup<'_>) -> anyhow::Result<Baresip> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        std::fs::write(path.join("said.wav"), &setup.says)?;
        std::fs::write(path.join("accounts"), format!("{}\n", setup.account))?;
        std::fs::write(path.join("contacts"), "")?;
        std::fs::write(path.join("config"), configuration(path, setup))?;
        let log = File::create(path.join("log"))?;
        command.args(["-o0", "baresip", "-f"]).arg(path);
        if let Some(lasts) = setup.lasts {
            command.args(["-t", &lasts.as_secs().to_string()]);
        }
        if let Some(dial) = setup.dial {
            command.args(["-e", &format!("/dial {dial}")]);
        }
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("baresip")?;
        Ok(Baresip { child, ip: setup.ip.to_owned(), folder })
    }

    /// Returns the output of the phone so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the output of the phone contains a text.
    pub(crate) fn wait_for(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.log().contains(text) {
            if began.elapsed() > limit {
                bail!("baresip did not say {text:?} within {limit:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Returns the bit rates of audio that the phone shows: sent, and received after decryption. The phone computes
    /// them every few seconds.
    pub(crate) fn bit_rates(&self) -> Option<(u32, u32)> {
        let log = self.log();
        let (rates, _) = log.rsplit_once(" (bit/s)")?;
        let (sent, received) = rates.rsplit_once("audio=")?.1.split_once('/')?;
        Some((sent.parse().ok()?, received.parse().ok()?))
    }

    /// Sends a menu command to the phone.
    pub(crate) fn command(&self, command: &str, parameters: &str) -> anyhow::Result<()> {
        let text = format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\"}}");
        let mut control = TcpStream::connect((self.ip.as_str(), CONTROL_PORT)).context("baresip's control port")?;
        control.write_all(format!("{}:{text},", text.len()).as_bytes())?;
        // The response confirms that the phone has read the command.
        control.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut answer = [0; 1_024];
        control.read(&mut answer).context("baresip does not answer a command")?;
        Ok(())
    }

    /// Waits until the phone ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > limit {
                bail!("baresip did not end within {limit:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends the phone by a signal, at which it removes its registration, and waits for the end.
    pub(crate) fn end(&mut self, limit: Duration) -> anyhow::Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        self.wait(limit)
    }

    /// Returns the audio that the phone received, in samples at [`SAMPLE_RATE`].
    pub(crate) fn heard(&self) -> anyhow::Result<Vec<f64>> {
        Ok(self.recorded()?.samples)
    }

    /// Returns the audio received in all calls of the phone, in samples at the rate of their codec.
    pub(crate) fn all_heard(&self) -> anyhow::Result<Vec<f64>> {
        let sounds = self.recordings()?.into_iter().map(|file| Ok(Sound::of_wav(&std::fs::read(file)?)?.samples));
        Ok(sounds.collect::<anyhow::Result<Vec<_>>>()?.concat())
    }

    /// Returns the audio that the phone received, at the rate of its codec.
    pub(crate) fn recorded(&self) -> anyhow::Result<Sound> {
        let file = self.recordings()?.pop().with_context(|| format!("nothing was heard:\n{}", self.log()))?;
        Sound::of_wav(&std::fs::read(file)?)
    }

    /// Returns the paths of the recordings of received audio, one for each call.
    fn recordings(&self) -> anyhow::Result<Vec<PathBuf>> {
        let files = std::fs::read_dir(self.folder.path())?.filter_map(Result::ok).map(|entry| entry.path());
        Ok(files.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect())
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(path: &Path, setup: &Setup<'_>) -> String {
    let (path, ip) = (path.display(), setup.ip);
    let mwi = if setup.account.contains(";mwi=yes") { "module_app mwi.so\n" } else { "" };
    let ca = setup.ca.map(|ca| format!("sip_cafile {}\n", ca.display())).unwrap_or_default();
    format!(
        "sip_listen {ip}:{}\n{ca}net_interface {ip}\ncall_local_timeout 30\ncall_max_calls 2\n\
         audio_source aufile,{path}/said.wav\naudio_player aubridge,heard\naudio_alert aubridge,alert\n\
         ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\naudio_buffer 20-160\n\
         rtcp_mux no\njitter_buffer_delay 1-20\nsnd_path {path}\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule g722.so\nmodule opus.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\nmodule srtp.so\n\
         module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {ip}:{CONTROL_PORT}\n{mwi}",
        setup.port
    )
}

/// Returns a tone as a WAV file at [`SAMPLE_RATE`].
pub(crate) fn wav(hz: u32) -> Vec<u8> {
    sound::wav(SAMPLE_RATE, 1, TONE_SECONDS, |t| sound::tone(hz, t))
}
