//! Laws that hold for any input, searched for counter-examples.

mod ranking {
    //! Which mirrors a client gets, and what may change that.

    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::sample::{Index, select};

    use redirector::model::{BaseUrl, ClientNetwork, Country, Health, Mirror, MirrorName, Only, Place, Point, Scheme};
    use redirector::selection::{Request, Selector, Tiers, refusal};

    /// What a client is to selection.
    #[derive(Clone, Debug)]
    struct Client {
        place: Place,
        address: IpAddr,
    }

    impl Client {
        fn tiers(&self, mirrors: &[Arc<Mirror>]) -> Tiers {
            Selector::new(mirrors).tiers(&self.place, self.address)
        }

        /// The names of all mirrors that may serve the client, best first.
        fn order(&self, mirrors: &[Arc<Mirror>]) -> Vec<MirrorName> {
            let ranking = self.tiers(mirrors).draw(self.network(), |_| true, mirrors.len());
            ranking.iter().map(|ranked| mirrors[ranked.index()].name.clone()).collect()
        }

        fn network(&self) -> ClientNetwork {
            ClientNetwork::of(self.address)
        }
    }

    proptest! {
        #[test]
        fn the_place_of_a_mirror_in_the_file_plays_no_role(mirrors in mirrors(), client in client(), turn in any::<Index>()) {
            let mut turned = mirrors.clone();
            turned.rotate_left(turn.index(mirrors.len()));
            prop_assert_eq!(client.order(&turned), client.order(&mirrors));
            turned.reverse();
            prop_assert_eq!(client.order(&turned), client.order(&mirrors));
        }

        #[test]
        fn when_a_mirror_leaves_only_its_clients_move(mirrors in mirrors(), client in client(), leaving in any::<Index>()) {
            let leaving = leaving.index(mirrors.len());
            let mut others = mirrors.clone();
            let name = others.remove(leaving).name.clone();
            // Not only the first: the order of all others stays, so that their second choices stay, too.
            let mut expected = client.order(&mirrors);
            expected.retain(|other| *other != name);
            prop_assert_eq!(&client.order(&others), &expected);
            // The same when it stays in the list but does not hold the file or is down.
            let tiers = client.tiers(&mirrors);
            let ranking = tiers.draw(client.network(), |index| index != leaving, mirrors.len());
            let skipped: Vec<MirrorName> = ranking.iter().map(|ranked| mirrors[ranked.index()].name.clone()).collect();
            prop_assert_eq!(skipped, expected);
        }

        #[test]
        fn a_higher_score_never_loses_a_client(mirrors in mirrors(), client in client(), which in any::<Index>(), more in 1_u32..1000) {
            let which = which.index(mirrors.len());
            let mut raised = mirrors.clone();
            let mirror = Mirror { score: mirrors[which].score + more, ..(*mirrors[which]).clone() };
            raised[which] = Arc::new(mirror);
            let rank = |mirrors: &[Arc<Mirror>]| client.order(mirrors).iter().position(|name| *name == mirrors[which].name);
            prop_assert!(rank(&raised) <= rank(&mirrors));
        }

        #[test]
        fn a_ranking_has_usable_mirrors_only_each_once(
            mirrors in mirrors(), client in client(), bits in any::<u64>(), wanted in 0_usize..40, size in 0_u64..2000,
        ) {
            let health = |index: usize| if bits >> index & 1 == 1 { Health::Down } else { Health::Up };
            let request = Request { scheme: Scheme::Https, size, place: &client.place, address: client.address };
            let may = |index: usize| refusal(&mirrors[index], health(index), &request).is_none();
            let ranking = client.tiers(&mirrors).draw(client.network(), may, wanted);
            prop_assert!(ranking.iter().all(|ranked| may(ranked.index())));
            let mut indices: Vec<usize> = ranking.iter().map(|ranked| ranked.index()).collect();
            indices.sort_unstable();
            indices.dedup();
            // And it has all of them, as far as they are wanted.
            prop_assert_eq!(indices.len(), wanted.min((0..mirrors.len()).filter(|index| may(*index)).count()));
            prop_assert_eq!(indices.len(), ranking.len());
        }

        #[test]
        fn fewer_wanted_are_the_best_of_more(mirrors in mirrors(), client in client(), few in 0_usize..20, bits in any::<u64>()) {
            let tiers = client.tiers(&mirrors);
            let usable = |index: usize| bits >> index & 1 == 1;
            let all = tiers.draw(client.network(), usable, mirrors.len());
            prop_assert_eq!(&tiers.draw(client.network(), usable, few)[..], &all[..few.min(all.len())]);
        }

        #[test]
        fn neighbours_get_the_same(mirrors in mirrors(), client in client(), last in any::<u8>()) {
            let neighbour = match client.address {
                IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00 | u32::from(last))),
                IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !0xff | u128::from(last))),
            };
            let neighbour = Client { address: neighbour, ..client.clone() };
            prop_assert_eq!(neighbour.order(&mirrors), client.order(&mirrors));
            if let IpAddr::V4(v4) = client.address {
                let mapped = Client { address: IpAddr::V6(v4.to_ipv6_mapped()), ..client.clone() };
                prop_assert_eq!(mapped.order(&mirrors), client.order(&mirrors));
            }
        }

        #[test]
        fn equal_keys_give_equal_tiers(mirrors in mirrors(), one in client(), other in client()) {
            let selector = Selector::new(&mirrors);
            let key = selector.key(&one.place, one.address);
            if key == selector.key(&other.place, other.address) {
                prop_assert_eq!(selector.tiers(&one.place, one.address), selector.tiers(&other.place, other.address));
            }
            prop_assert_eq!(selector.tiers_by_key(&key), selector.tiers(&one.place, one.address));
        }

        #[test]
        fn relations_count_before_distance(mirrors in mirrors(), client in client()) {
            let tiers = client.tiers(&mirrors);
            let mut before = None;
            for tier in tiers.iter() {
                // Continent and world are one stage, in which distance decides.
                let stage = (tier.is_reserve, tier.class.min(redirector::selection::Class::Continent));
                prop_assert!(before <= Some(stage));
                before = Some(stage);
                prop_assert!(tier.members().all(|index| tier.is_reserve == (mirrors[index].score == 0)));
            }
        }

        #[test]
        fn what_explain_shows_is_what_clients_get(mirrors in mirrors(), client in client()) {
            let tiers = client.tiers(&mirrors);
            let drawn = tiers.drawn(client.network());
            let ranking = tiers.draw(client.network(), |_| true, mirrors.len());
            prop_assert!(drawn.iter().map(|row| (row.index, row.class)).eq(ranking.iter().map(|ranked| (ranked.index(), ranked.class))));
            prop_assert!(drawn.iter().all(|row| row.draw.is_finite() && row.draw > 0.0));
            // Ordered by tier, then by draw.
            prop_assert!(drawn.is_sorted_by(|a, b| a.tier < b.tier || a.tier == b.tier && a.draw >= b.draw));
            let selector = Selector::new(&mirrors);
            let key = selector.key(&client.place, client.address);
            for row in &drawn {
                let nearness = selector.nearness(&key, row.index).expect("it was drawn");
                prop_assert_eq!(nearness.class, row.class);
                prop_assert!(nearness.distance_km.is_none_or(|km| (0.0..20_100.0).contains(&km)));
            }
        }
    }

    proptest! {
        /// Promise 8: one client, many files that are here and there.
        #[test]
        fn a_client_leaves_its_mirror_only_for_files_that_it_lacks(
            mirrors in mirrors(), client in client(), files in vec(any::<u32>(), 1..60),
        ) {
            let tiers = client.tiers(&mirrors);
            let holds = |file: u32, index: usize| file >> index & 1 == 1;
            let first = |file: u32| tiers.draw(client.network(), |index| holds(file, index), 1).first().map(|best| best.index());
            let order: Vec<usize> = tiers.draw(client.network(), |_| true, 30).iter().map(|ranked| ranked.index()).collect();
            for file in &files {
                let expected = order.iter().copied().find(|index| holds(*file, *index));
                prop_assert_eq!(first(*file), expected, "whoever holds it first in the client's own order");
            }
            // So files that one mirror holds come from more than one only where a better one has some of them.
            for mirror in &order {
                let mut used: Vec<_> = files.iter().filter(|file| holds(**file, *mirror)).filter_map(|file| first(*file)).collect();
                used.sort_unstable_by_key(|index| order.iter().position(|other| other == index));
                used.dedup();
                let rank = order.iter().position(|other| other == mirror);
                prop_assert!(used.iter().all(|index| order.iter().position(|other| other == index) <= rank));
            }
        }
    }

    /// Clients of one place that are simulated for a tier.
    const CLIENTS: u32 = 4000;

    proptest! {
        // Thousands of clients each.
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

        /// Promise 9: many clients, of whom some find a mirror without the file.
        #[test]
        fn shares_follow_scores_in_every_tier_and_among_those_who_hold_the_file(
            mirrors in mirrors(), client in client(), holders in any::<u32>(), first in any::<u16>(),
        ) {
            let tiers = client.tiers(&mirrors);
            for tier in tiers.iter() {
                let members: Vec<usize> = tier.members().filter(|index| holders >> index & 1 == 1).collect();
                // Those of score 0 are drawn among themselves.
                let score = |index: &usize| f64::from(mirrors[*index].score.max(1));
                let sum: f64 = members.iter().map(score).sum();
                let mut clients = std::collections::HashMap::new();
                for number in 0..CLIENTS {
                    let address = Ipv4Addr::from_bits((u32::from(first) << 12).wrapping_add(number) << 8);
                    let network = ClientNetwork::of(IpAddr::V4(address));
                    if let Some(best) = tiers.draw(network, |index| members.contains(&index), 1).first() {
                        *clients.entry(best.index()).or_insert(0_u32) += 1;
                    }
                }
                for member in &members {
                    let share = score(member) / sum;
                    let expected = share * f64::from(CLIENTS);
                    // Six standard deviations, and some for the rare: by chance once in hundreds of millions.
                    let margin = 6.0 * (expected * (1.0 - share)).sqrt() + 8.0;
                    let got = f64::from(clients.get(member).copied().unwrap_or_default());
                    prop_assert!((got - expected).abs() <= margin, "{got} of {CLIENTS} clients where {expected} are due");
                }
            }
        }
    }

    fn mirrors() -> impl Strategy<Value = Vec<Arc<Mirror>>> {
        vec(mirror(), 1..24).prop_map(|mut mirrors| {
            for (number, mirror) in mirrors.iter_mut().enumerate() {
                // Not in the order of the list.
                mirror.name = MirrorName::parse(&format!("m{}", (number * 7 + 3) % 24)).expect("a name");
            }
            mirrors.into_iter().map(Arc::new).collect()
        })
    }

    fn mirror() -> impl Strategy<Value = Mirror> {
        let place = (option::of(country()), option::weighted(0.7, point()), option::of(asn()));
        let clients = (option::weighted(0.2, only()), vec(country(), 0..2), vec(country(), 0..2), vec(network(), 0..2));
        let rest =
            (prop_oneof![Just(0_u32), Just(100), 1_u32..500], option::weighted(0.1, 0_u64..2000), any::<bool>(), 0_u8..10);
        (place, clients, rest).prop_map(
            |((country, point, asn), (only, also, exclude, networks), (score, max, https, enabled))| Mirror {
                http: BaseUrl::parse("http://m.example/", Scheme::Http).ok(),
                https: BaseUrl::parse("https://m.example/", Scheme::Https).ok().filter(|_| https),
                country,
                continent: country.and_then(Country::continent),
                point,
                asn,
                networks,
                score,
                only,
                also_countries: also,
                exclude_countries: exclude,
                max_file_size: max,
                enabled: enabled > 0,
                ..Mirror::new(MirrorName::parse("unnamed").expect("a name"))
            },
        )
    }

    fn client() -> impl Strategy<Value = Client> {
        let place = (option::weighted(0.9, country()), option::of(point()), option::of(asn()));
        (place, address()).prop_map(|((country, point, asn), address)| Client {
            place: Place { country, continent: country.and_then(Country::continent), point, asn },
            address,
        })
    }

    /// Few of each kind, so that clients and mirrors meet.
    fn country() -> impl Strategy<Value = Country> {
        select(vec!["de", "fr", "lu", "us", "jp", "eg", "za", "zz"]).prop_map(|code| code.parse().expect("a country"))
    }

    fn point() -> impl Strategy<Value = Point> {
        let anywhere = (-90.0..=90.0, -180.0..=180.0);
        let europe = (45.0..=55.0, 0.0..=15.0);
        let ends = (select(vec![-90.0, 0.0, 90.0]), select(vec![-180.0, 0.0, 180.0]));
        prop_oneof![anywhere, europe, ends].prop_map(|(latitude, longitude)| Point::new(latitude, longitude).expect("on Earth"))
    }

    fn asn() -> impl Strategy<Value = u32> {
        64500_u32..64503
    }

    fn only() -> impl Strategy<Value = Only> {
        select(vec![Only::Network, Only::As, Only::Country, Only::Continent])
    }

    fn network() -> impl Strategy<Value = ipnet::IpNet> {
        select(vec!["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "::ffff:10.2.0.0/112", "2001:db8::/32", "2001:db8:1::/48"])
            .prop_map(|text| text.parse().expect("a network"))
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        let near = (0_u8..4, 0_u8..4, any::<u8>()).prop_map(|(a, b, c)| IpAddr::V4(Ipv4Addr::new(10, a, b, c)));
        let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let v6 = (0_u128..3, any::<u64>())
            .prop_map(|(site, host)| IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | site << 80 | u128::from(host))));
        prop_oneof![near, v4, v6]
    }
}
