//! Origin of an agent's URL.

/// Origin of an agent's URL; decides which addresses the URL may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UrlOrigin {
    /// The configuration: any address.
    #[default]
    Configuration,
    /// A document of an application, which is less trusted.
    Application {
        /// Whether the URL may lead to private and loopback addresses.
        allow_private: bool,
    },
}
