//! `/v1/calls/{sid}/quality`: audio quality of a call over time, as JSON and as CSV.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use trunkgate_call::view::{QualityView, SampleView, SeriesView};

use super::ApiError;
use super::calls::{Sid, find};
use trunkgate_runtime::handle::EdgeHandle;

/// Header line of the table.
const HEAD: &str = "leg,party,codec,direction,at,seconds,packets,lost,jitter_ms,rtt_ms,mos,queue_ms,queue_max_ms\r\n";

pub(super) async fn show(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<Json<QualityView>, ApiError> {
    quality(&handle, &sid).await.map(Json)
}

/// Returns the audio quality of a call over time as CSV (RFC 4180).
pub(super) async fn table(State(handle): State<EdgeHandle>, Sid(sid): Sid) -> Result<impl IntoResponse, ApiError> {
    let rows = csv(&quality(&handle, &sid).await?);
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], rows))
}

async fn quality(handle: &EdgeHandle, sid: &str) -> Result<QualityView, ApiError> {
    if let Some(quality) = handle.quality(sid).await? {
        return Ok(quality);
    }
    let call = find(handle, sid).await?;
    let message = match call.answered_at {
        None => format!("call {sid} was not answered: nothing was measured"),
        Some(_) => format!("only totals of call {sid} are kept: /v1/calls/{sid}"),
    };
    Err(ApiError::new(StatusCode::NOT_FOUND, "no_series", message))
}

fn csv(quality: &QualityView) -> String {
    let mut out = HEAD.to_owned();
    for series in &quality.series {
        for sample in &series.samples {
            out.push_str(&row(series, sample));
        }
    }
    out
}

fn row(series: &SeriesView, sample: &SampleView) -> String {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let fields = [
        series.leg.clone(),
        quoted(&series.party),
        quoted(&series.codec),
        series.direction.to_owned(),
        sample.at.clone(),
        sample.seconds.to_string(),
        sample.packets.to_string(),
        number(sample.lost.map(f64::from)),
        number(sample.jitter_ms),
        number(sample.rtt_ms),
        number(sample.mos),
        number(sample.queue_ms.map(f64::from)),
        number(sample.queue_max_ms.map(f64::from)),
    ];
    fields.join(",") + "\r\n"
}

/// Quotes a CSV field that contains a name given by a remote party or by the configuration.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_field_for_each_column_whatever_a_party_is_called() {
        let sample = SampleView {
            at: "2026-01-01T00:00:05.000Z".into(),
            seconds: 5.0,
            packets: 250,
            lost: Some(3),
            jitter_ms: Some(0.5),
            queue_ms: Some(40),
            queue_max_ms: Some(5000),
            ..SampleView::default()
        };
        let series = SeriesView {
            leg: "CA1".into(),
            party: "sip:\"a\",b@host".into(),
            codec: "PCMU".into(),
            direction: "received",
            samples: vec![sample],
        };
        let text = csv(&QualityView { sid: "CA1".into(), interval_s: 5, series: vec![series] });
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(
            lines[1],
            "CA1,\"sip:\"\"a\"\",b@host\",\"PCMU\",received,2026-01-01T00:00:05.000Z,5,250,3,0.5,,,40,5000"
        );
        assert_eq!(lines[0].split(',').count(), lines[1].replace("\"a\"\",b", "a").split(',').count());
    }
}
