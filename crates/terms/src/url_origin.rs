//! Origin of a URL.

/// Origin of an agent's URL, which decides where it may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UrlOrigin {
    /// The configuration: wherever it says.
    #[default]
    Configuration,
    /// A document of an application.
    Application {
        /// Whether it may lead to private and loopback addresses.
        allow_private: bool,
    },
}
