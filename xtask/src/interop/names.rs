//! Name server on loopback with a few names, for `TRUNKGATE_DNS`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Names, each with its IP address.
type Zone = &'static [(&'static str, Ipv4Addr)];

/// Starts a name server for `zone`, which knows no other name and ends with the process.
pub(crate) fn serve(zone: Zone) -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = buffer.get(..length).and_then(|question| answer(question, zone)) {
                drop(socket.send_to(&answer, from));
            }
        }
    });
    Ok(address)
}

/// Returns the answer to a DNS query (RFC 1035 §4.1).
fn answer(question: &[u8], zone: Zone) -> Option<Vec<u8>> {
    let id = question.get(..2)?;
    let mut labels: Vec<String> = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let is_a = question.get(at..at + 2)? == [0, 1];
    let name = labels.join(".");
    let address = zone.iter().find(|(known, _)| *known == name).map(|(_, address)| address.octets());
    let found = address.filter(|_| is_a);
    let mut out = id.to_vec();
    // Authoritative answer; response code 3: there is no such name.
    out.extend([0x85, if address.is_some() { 0x80 } else { 0x83 }]);
    out.extend([0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    out.extend_from_slice(question.get(12..at + 4)?);
    if let Some(address) = found {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        out.extend(address);
    }
    Some(out)
}
