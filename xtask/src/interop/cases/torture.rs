//! placeholder
use crate::interop::Setting;
pub(crate) fn run(_: &Setting) -> anyhow::Result<String> {
    anyhow::bail!("not yet")
}
