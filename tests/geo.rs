//! GeoIP databases of every layout: read, checked, exchanged while they are in use.

use std::net::IpAddr;

use redirector::geo::{Locator, Settings};
use redirector::model::Place;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn country(place: &Place) -> Option<String> {
    place.country.map(|country| country.to_string())
}

mod built_in {
    use super::*;

    #[test]
    fn a_lone_binary_knows_countries_and_networks() {
        let (locator, problems) = Locator::open(&Settings::default()).expect("the built-in databases");
        assert_eq!(problems, []);
        let cases = [
            ("1.1.1.1", Some("au"), Some(13335)),
            ("8.8.8.8", Some("us"), Some(15169)),
            ("193.0.6.139", Some("nl"), Some(3333)),
            ("2001:67c:2e8:22::c100:68b", Some("nl"), Some(3333)),
            ("::ffff:193.0.6.139", Some("nl"), Some(3333)),
            ("64:ff9b::193.0.6.139", Some("nl"), Some(3333)),
            ("200.160.2.3", Some("br"), Some(22548)),
            ("2001:200::8801", Some("jp"), Some(2500)),
            ("10.0.0.1", None, None),
            ("127.0.0.1", None, None),
            ("::1", None, None),
            ("192.0.2.1", None, None),
            ("2001:db8::1", None, None),
        ];
        for (text, expected, asn) in cases {
            let place = locator.locate(address(text));
            assert_eq!((country(&place).as_deref(), place.asn), (expected, asn), "{text}");
            assert_eq!(place.point, None, "{text}");
        }
    }
}
