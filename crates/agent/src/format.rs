//! Audio formats of an agent's socket (configuration key `format`).

/// Audio format of an agent's stream, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AgentFormat {
    /// μ-law at 8 kHz, the only format of Twilio.
    #[default]
    Mulaw8000,
    /// Linear 16 bit at 8 kHz.
    L16Rate8000,
    /// Linear 16 bit at 16 kHz.
    L16Rate16000,
    /// Linear 16 bit at 24 kHz.
    L16Rate24000,
}

impl AgentFormat {
    /// All formats, each under its name in the configuration.
    pub const ALL: [AgentFormat; 4] =
        [AgentFormat::Mulaw8000, AgentFormat::L16Rate8000, AgentFormat::L16Rate16000, AgentFormat::L16Rate24000];

    /// Returns the name used in the configuration, such as `mulaw/8000`.
    pub const fn name(self) -> &'static str {
        match self {
            AgentFormat::Mulaw8000 => "mulaw/8000",
            AgentFormat::L16Rate8000 => "l16/8000",
            AgentFormat::L16Rate16000 => "l16/16000",
            AgentFormat::L16Rate24000 => "l16/24000",
        }
    }

    /// Parses a name from the configuration; `None` if it is unknown.
    pub fn from_name(name: &str) -> Option<AgentFormat> {
        AgentFormat::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Returns the value of `mediaFormat.encoding` in `start`.
    pub const fn encoding(self) -> &'static str {
        match self {
            AgentFormat::Mulaw8000 => "audio/x-mulaw",
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => "audio/x-l16",
        }
    }

    /// Returns the sampling rate, in Hz; also the value of `mediaFormat.sampleRate` in `start`.
    pub const fn sample_rate(self) -> u32 {
        match self {
            AgentFormat::Mulaw8000 | AgentFormat::L16Rate8000 => 8000,
            AgentFormat::L16Rate16000 => 16_000,
            AgentFormat::L16Rate24000 => 24_000,
        }
    }

    /// Returns the number of bytes of one sample.
    pub(crate) const fn sample_bytes(self) -> usize {
        match self {
            AgentFormat::Mulaw8000 => 1,
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => 2,
        }
    }

    /// Returns the number of samples in a frame of 20 ms.
    pub const fn frame_samples(self) -> usize {
        self.frame_bytes() / self.sample_bytes()
    }

    /// Returns the number of bytes in a millisecond of audio.
    pub const fn bytes_per_ms(self) -> usize {
        match self {
            AgentFormat::Mulaw8000 => 8,
            AgentFormat::L16Rate8000 => 16,
            AgentFormat::L16Rate16000 => 32,
            AgentFormat::L16Rate24000 => 48,
        }
    }

    /// Returns the number of bytes in a frame of 20 ms.
    pub const fn frame_bytes(self) -> usize {
        self.bytes_per_ms() * 20
    }

    /// Returns the byte that silence consists of.
    pub const fn silence(self) -> u8 {
        match self {
            AgentFormat::Mulaw8000 => 0xff,
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => 0,
        }
    }

    /// Returns whether the audio contains anything but digital silence.
    pub fn is_heard(self, audio: &[u8]) -> bool {
        match self {
            // Both zeros of μ-law.
            AgentFormat::Mulaw8000 => audio.iter().any(|byte| byte | 0x80 != 0xff),
            AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => {
                audio.iter().any(|byte| *byte != 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_contracts() {
        let names: Vec<_> = AgentFormat::ALL.iter().map(|format| format.name()).collect();
        assert_eq!(names, ["mulaw/8000", "l16/8000", "l16/16000", "l16/24000"]);
        for format in AgentFormat::ALL {
            assert_eq!(AgentFormat::from_name(format.name()), Some(format));
            let rate: usize = format.name().rsplit_once('/').unwrap().1.parse().unwrap();
            assert_eq!(format.sample_rate() as usize, rate);
            assert_eq!(format.frame_bytes(), rate / 50 * format.sample_bytes());
        }
        assert_eq!(AgentFormat::from_name("opus"), None);
    }

    #[test]
    fn both_zeros_of_mulaw_are_silence() {
        assert!(!AgentFormat::Mulaw8000.is_heard(&[0xff, 0x7f]));
        assert!(AgentFormat::Mulaw8000.is_heard(&[0xff, 0xfe]));
        assert!(!AgentFormat::L16Rate16000.is_heard(&[0, 0]));
        assert!(AgentFormat::L16Rate16000.is_heard(&[0, 1]));
        assert!(!AgentFormat::Mulaw8000.is_heard(&[]));
    }
}
