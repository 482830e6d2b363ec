//! The rules of a firewall, rendered for `nft -f` (nftables): what is let in, and nothing else.
//!
//! Each line of `config` is one rule, named by its key: `tcp 18081 from 10.0.0.0/8`, `udp 53`. Loading the file replaces
//! the table of this policy in one transaction and touches no other (nft(8), "destroy" needs a newer kernel: the table is
//! declared before it is deleted, so that the first load finds one).

use super::{Rules, Sources};
use crate::versions::component::{Carrier, Component};
use std::net::IpAddr;

pub(super) struct NetworkPolicy;

/// What may come in.
struct Rule<'a> {
    name: &'a str,
    protocol: &'a str,
    port: u16,
    from: Option<(IpAddr, u8)>,
}

impl<'a> Rule<'a> {
    /// `PROTOCOL PORT [from ADDRESS[/BITS]]`
    fn parse(name: &'a str, text: &'a str) -> Result<Self, String> {
        let wrong =
            || format!("{name} = {text:?} is not PROTOCOL PORT [from ADDRESS/BITS], as \"tcp 8080 from 10.0.0.0/8\"");
        let words: Vec<&str> = text.split_whitespace().collect();
        let (protocol, port, from) = match words[..] {
            [protocol, port] => (protocol, port, None),
            [protocol, port, "from", from] => (protocol, port, Some(from)),
            _ => return Err(wrong()),
        };
        if !matches!(protocol, "tcp" | "udp") {
            return Err(wrong());
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let from = from.map(|from| network(from).ok_or_else(wrong)).transpose()?;
        Ok(Self { name, protocol, port, from })
    }

    fn line(&self) -> String {
        let from = self.from.map_or_else(String::new, |(address, bits)| {
            let family = if address.is_ipv4() { "ip" } else { "ip6" };
            format!("{family} saddr {address}/{bits} ")
        });
        format!("    {from}{} dport {} accept comment \"{}\"\n", self.protocol, self.port, self.name)
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
    Some((address, bits))
}

impl Rules for NetworkPolicy {
    fn wrong(&self, component: &Component) -> Option<(&'static str, String)> {
        if component.source.is_some() {
            return Some((
                "source",
                "a network policy is rendered from its config, and has no text of its own".to_owned(),
            ));
        }
        if let Some(Carrier::Service { .. }) = component.carrier() {
            return Some(("target", "a network_policy is carried by file:FILE".to_owned()));
        }
        // A name stands in a comment between quotes.
        let named =
            |name: &str| name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        component.config.iter().find_map(|(name, text)| match Rule::parse(name, text) {
            Ok(_) if named(name) => None,
            Ok(_) => Some(("config", format!("{name:?} is no name of a rule"))),
            Err(what) => Some(("config", what)),
        })
    }

    fn text(&self, component: &Component, _: Sources<'_>) -> Result<Option<String>, String> {
        let rules: Vec<Rule<'_>> =
            component.config.iter().map(|(name, text)| Rule::parse(name, text)).collect::<Result<_, _>>()?;
        let table: String = component.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let lines: String = rules.iter().map(Rule::line).collect();
        Ok(Some(format!(
            "#!/usr/sbin/nft -f\n\
             # {} {}: written by `pipeline apply`; change stack.toml instead.\n\
             table inet stack_{table}\n\
             delete table inet stack_{table}\n\
             table inet stack_{table} {{\n  \
               chain input {{\n    \
                 type filter hook input priority filter; policy drop;\n    \
                 ct state established,related accept\n    \
                 iif \"lo\" accept\n    \
                 meta l4proto {{ icmp, icmpv6 }} accept\n\
             {lines}  \
               }}\n\
             }}\n",
            component.name, component.version
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::Manifest;
    use std::io::Write as _;
    use std::process::Command;

    fn policy(config: &str) -> Result<String, String> {
        let text = format!(
            "[[component]]\nname = \"edge-policy\"\nkind = \"network_policy\"\nversion = \"1.2.0\"\n\
             target = \"file:edge.nft\"\nconfig = {{ {config} }}\n"
        );
        let manifest = Manifest::parse(&text).map_err(|mistake| mistake.to_string())?;
        let of = Sources { source: None, manifest: &manifest, folder: std::path::Path::new("") };
        Ok(NetworkPolicy.text(&manifest.components[0], of)?.unwrap())
    }

    #[test]
    fn rules_are_rendered_as_nft_takes_them() {
        let text = policy("api = \"tcp 18081 from 10.0.0.0/8\", dns = \"udp 53\", six = \"tcp 22 from ::1\"").unwrap();
        assert!(
            text.contains("    ip saddr 10.0.0.0/8 tcp dport 18081 accept comment \"api\"\n    udp dport 53 accept")
        );
        assert!(text.contains("ip6 saddr ::1/128 tcp dport 22"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.nft");
        std::fs::write(&path, &text).unwrap();
        match Command::new("nft").arg("-c").arg("-f").arg(&path).output() {
            Ok(said) => {
                let said = String::from_utf8_lossy(&said.stderr).into_owned();
                // A kernel without nftables, or nobody's permission to ask it, says nothing of the rules.
                let unable = said.contains("Operation not permitted") || said.contains("cache initialization failed");
                assert!(said.is_empty() || unable, "{said}\n{text}");
            }
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "not proven by nft ({error}): apt-get install nftables");
            }
        }
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_line() {
        for config in [
            "a = \"tcp\"",
            "a = \"tcp 0\"",
            "a = \"tcp 80 from here\"",
            "a = \"sctp 1\"",
            "a = \"tcp 1 from ::1/129\"",
            "\"a\\\"b\" = \"tcp 1\"",
        ] {
            let told = policy(config).unwrap_err();
            assert!(told.starts_with("line 6: config of edge-policy 1.2.0"), "{told}");
        }
    }
}
