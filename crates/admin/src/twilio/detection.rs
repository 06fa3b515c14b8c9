//! Parameters of answering machine detection (`MachineDetection`).

use trunkgate_call::DetectionRequest;
use trunkgate_media::detection::{DetectionMode, DetectionSettings, ThresholdParameter};
use trunkgate_route::{App, WebhookMethod};

use super::error::Error;
use super::parameters::Parameters;
use super::{Asked, create};

/// Names of the callback's parameters for a new call: URL, then method.
pub(super) const OF_CALL: (&str, &str) = ("AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod");
pub(super) const OF_PARTICIPANT: (&str, &str) = ("AmdStatusCallback", "AmdStatusCallbackMethod");

/// Parses the parameters of answering machine detection; `None` without `MachineDetection`. `receiver` has the names of
/// the callback's parameters.
///
/// # Errors
/// Returns an error if a parameter is invalid, even without `MachineDetection`.
pub(super) fn take(
    parameters: &mut Parameters,
    receiver: (&'static str, &'static str),
) -> Result<Option<DetectionRequest>, Error> {
    let mode = parameters
        .take_word("MachineDetection", &DetectionMode::ALL.map(|(_, name)| name))?
        .and_then(DetectionMode::named);
    let mut values = [None; 4];
    for (value, threshold) in values.iter_mut().zip(&ThresholdParameter::ALL) {
        *value = take_threshold(parameters, threshold)?;
    }
    let is_async = receiver == OF_PARTICIPANT || parameters.take_flag("AsyncAmd")?.unwrap_or(false);
    let receiver = create::take_url(parameters, receiver.0, receiver.1)?;
    Ok(mode.map(|mode| {
        let settings = DetectionSettings::new(mode, values);
        DetectionRequest { settings, waits: !is_async, receiver: receiver.filter(|_| is_async) }
    }))
}

/// Checks the callback URL of a detection by the rules for URLs of an application.
///
/// # Errors
/// Returns an error if the URL can never be reached.
pub(super) fn judge(cx: &Asked<'_>, name: &str, detection: Option<&DetectionRequest>, app: &App) -> Result<(), Error> {
    let receiver: Option<&(String, WebhookMethod)> = detection.and_then(|detection| detection.receiver.as_ref());
    receiver.map_or(Ok(()), |(url, _)| create::judge_url(cx, name, url, app))
}

fn take_threshold(parameters: &mut Parameters, threshold: &ThresholdParameter) -> Result<Option<u32>, Error> {
    parameters.take_number(threshold.name, threshold.range.clone())
}
