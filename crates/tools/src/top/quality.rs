//! Quality of a call over time, drawn as lines below the ladder: jitter, loss and MOS of each RTP direction, and the
//! buffered audio of an agent.

use serde_json::Value;

/// Bars from minimum to maximum.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Number of intervals drawn, the latest ones.
const SHOWN: usize = 16;
/// Values drawn as a full bar: jitter in milliseconds, then loss as a fraction.
const JITTER_MS: f64 = 40.0;
const LOSS: f64 = 0.05;
/// Buffered agent audio drawn as a full bar, in milliseconds.
const QUEUE_MS: f64 = 10_000.0;
/// Range of the MOS bars (the maximum of G.711 is 4.41).
const MOS: (f64, f64) = (1.0, 4.41);
/// Maximum width of a party's name, in characters.
const PARTY: usize = 14;

/// Draws a line for each time series in the response of `/quality`.
pub(super) fn lines(quality: &Value) -> Vec<String> {
    quality["series"].as_array().into_iter().flatten().map(line).collect()
}

fn line(series: &Value) -> String {
    let text = |key: &str| series[key].as_str().unwrap_or("?").chars().take(PARTY).collect::<String>();
    let samples: Vec<&Value> = series["samples"].as_array().into_iter().flatten().collect();
    let latest = samples.get(samples.len().saturating_sub(SHOWN)..).unwrap_or_default();
    let of =
        |read: &dyn Fn(&Value) -> Option<f64>| -> Vec<Option<f64>> { latest.iter().map(|one| read(one)).collect() };
    let jitter = of(&|one| one["jitter_ms"].as_f64());
    let queue = of(&|one| one["queue_max_ms"].as_f64());
    let mos = of(&|one| one["mos"].as_f64());
    let loss = of(&|one| {
        let (lost, came) = (one["lost"].as_f64()?, one["packets"].as_f64()?);
        (lost + came > 0.0).then(|| lost / (lost + came))
    });
    let now = |all: &[Option<f64>], show: &dyn Fn(f64) -> String| {
        all.iter().rev().find_map(|value| *value).map_or_else(|| "–".to_owned(), show)
    };
    // An agent's WebSocket has no jitter.
    let first = if queue.iter().any(Option::is_some) {
        let shown = now(&of(&|one| one["queue_ms"].as_f64()), &|ms| format!("{:.2} s", ms / 1000.0));
        format!("queue  {} {shown:>8}", spark(&queue, 0.0, QUEUE_MS))
    } else {
        let shown = now(&jitter, &|ms| format!("{ms:.1} ms"));
        format!("jitter {} {shown:>8}", spark(&jitter, 0.0, JITTER_MS))
    };
    format!(
        "{:PARTY$}  {:8}  {first}   loss {} {:>6}   MOS {} {:>4}",
        text("party"),
        text("direction"),
        spark(&loss, 0.0, LOSS),
        now(&loss, &|share| format!("{:.1} %", share * 100.0)),
        spark(&mos, MOS.0, MOS.1),
        now(&mos, &|mos| format!("{mos:.2}")),
    )
}

/// Returns a bar for each value between `least` and `most`, and a blank for each missing one.
fn spark(values: &[Option<f64>], least: f64, most: f64) -> String {
    let bar = |value: &Option<f64>| {
        let Some(value) = value else { return ' ' };
        let share = ((value - least) / (most - least)).clamp(0.0, 1.0);
        let at = (share * (BARS.len() - 1) as f64).round() as usize;
        BARS.get(at).copied().unwrap_or(' ')
    };
    format!("{:SHOWN$}", values.iter().map(bar).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_bars() {
        assert_eq!(spark(&[Some(0.0), Some(20.0), None, Some(99.0)], 0.0, 40.0).trim_end(), "▁▅ █");
        let sample =
            |jitter: f64, lost: u64, mos: f64| json!({"packets": 90, "lost": lost, "jitter_ms": jitter, "mos": mos});
        let mut samples = vec![sample(40.0, 10, 1.0); 20];
        samples.push(sample(0.4, 0, 4.41));
        let series = json!({"party": "carrier-with-a-long-name", "direction": "received", "samples": samples});
        let far = json!({"party": "pbx", "direction": "sent", "samples": [{"packets": 250, "lost": null}]});
        let drawn = lines(&json!({"series": [series, far]}));
        assert_eq!(
            drawn[0],
            "carrier-with-a  received  jitter ███████████████▁   0.4 ms   loss ███████████████▁  0.0 %   \
             MOS ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█ 4.41"
        );
        let waits = |most: u64, now: u64| json!({"packets": 250, "lost": 0, "queue_ms": now, "queue_max_ms": most});
        let agent =
            json!({"party": "bot", "direction": "received", "samples": [waits(10_000, 5_000), waits(5_000, 40)]});
        assert_eq!(
            lines(&json!({"series": [agent]})),
            ["bot             received  queue  █▅                 0.04 s   loss ▁▁                0.0 %   \
              MOS                     –"]
        );
        assert!(drawn[1].ends_with("   –") && lines(&json!(null)).is_empty());
    }
}
