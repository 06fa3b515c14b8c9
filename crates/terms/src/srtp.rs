//! Use of SRTP and its crypto suites.

/// Policy for SRTP on one side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// Plain RTP only.
    #[default]
    Off,
    /// SRTP or RTP as offered; own offers are SRTP, repeated as RTP after a 488.
    Optional,
    /// SRTP only.
    Required,
}

/// A crypto suite (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Suite {
    /// AES-128 in counter mode, HMAC-SHA1 truncated to 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, HMAC-SHA1 truncated to 32 bits for RTP.
    AesCm128HmacSha1_32,
    /// AES-256 in counter mode, HMAC-SHA1 truncated to 80 bits.
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, HMAC-SHA1 truncated to 32 bits for RTP.
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

impl Suite {
    /// All suites that the edge supports.
    pub const ALL: [Suite; 6] = [
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ];

    /// Returns the registered name, as in `a=crypto` of session descriptions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Suite::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Returns the length of the master key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 | Suite::AeadAes128Gcm => 16,
            Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 | Suite::AeadAes256Gcm => 32,
        }
    }

    /// Returns the length of the master salt, in bytes.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Returns whether the suite is AEAD: encryption and authentication in one (RFC 7714).
    pub const fn is_aead(self) -> bool {
        matches!(self, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm)
    }

    /// Returns the length of RTP's authentication tag, in bytes.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm256HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 | Suite::AesCm256HmacSha1_32 => 4,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        }
    }

    /// Returns the length of RTCP's authentication tag, in bytes; never truncated to 32 bits (RFC 4568 §6.2.2).
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Finds a suite by name, also by the spelling of FreeSWITCH, Linphone and others that differs from RFC 6188;
    /// `None` if it is unknown.
    pub fn of_name(name: &str) -> Option<Suite> {
        let name = match name.to_ascii_uppercase().as_str() {
            "AES_CM_256_HMAC_SHA1_80" => "AES_256_CM_HMAC_SHA1_80",
            "AES_CM_256_HMAC_SHA1_32" => "AES_256_CM_HMAC_SHA1_32",
            _ => name,
        };
        Suite::ALL.into_iter().find(|suite| suite.as_str().eq_ignore_ascii_case(name))
    }
}
