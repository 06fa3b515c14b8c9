//! DNS failures of peers' host names: description and fix.

use trunkgate_route::host_of;
use trunkgate_route::locate::NameFault;

use crate::diagnosis::{Diagnosis, FaultCause};

/// Fix if no DNS server answers.
pub const REACH_SERVERS: &str =
    "check the name servers of this machine (/etc/resolv.conf), and whether it may query them";

/// Describes a DNS failure, as the end of a sentence.
pub fn words(fault: NameFault, host: &str) -> String {
    match fault {
        NameFault::NotFound => "name not found in DNS".to_owned(),
        NameFault::Unanswered => format!("no DNS server answers for {host}"),
        NameFault::ServerFailure => format!("the DNS server answers SERVFAIL for {host}"),
        NameFault::Refused => format!("the DNS server answers REFUSED for {host}"),
    }
}

/// Returns the fix. `place` is the location of the name in the configuration, such as `` `peers` of [trunk.NAME] ``.
pub fn fix(fault: NameFault, host: &str, place: &str) -> String {
    match fault {
        NameFault::NotFound => format!(
            "check the host name in {place}, and the name servers of this machine (/etc/resolv.conf): `trunkgate doctor`, line dns, looks up \
             NAPTR, SRV, A and AAAA of {host}"
        ),
        NameFault::Unanswered => format!("{REACH_SERVERS}: `trunkgate doctor`, line dns, asks them again"),
        NameFault::ServerFailure => format!(
            "ask the operator of the domain: its name servers fail or DNSSEC does not validate (`dig {host}`, `dig +cd {host}`); or use another \
             resolver in /etc/resolv.conf"
        ),
        NameFault::Refused => {
            "use a DNS server in /etc/resolv.conf that answers this machine, or allow its address there: this one refuses its queries".to_owned()
        }
    }
}

/// Returns the diagnosis of a peer with a host name for which DNS returned no address. `place` is as in [`fix`].
pub fn diagnosis(fault: NameFault, peer: &str, place: &str) -> Diagnosis {
    let host = host_of(peer);
    let text = format!("{peer}: {} (name_not_found)", words(fault, host));
    Diagnosis { cause: FaultCause::NoName, text, fix: fix(fault, host, place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_has_answered() {
        let host = "sip.carrier.example";
        assert_eq!(words(NameFault::ServerFailure, host), "the DNS server answers SERVFAIL for sip.carrier.example");
        assert!(fix(NameFault::ServerFailure, host, "`peers` of [trunk.carrier]").contains("DNSSEC"));
        assert!(!words(NameFault::Refused, host).contains("no DNS server answers"));
        assert!(fix(NameFault::NotFound, host, "`peers` of [trunk.carrier]").contains("in `peers` of [trunk.carrier]"));
    }
}
