//! Where a client or a mirror is.

use super::country::{Continent, Country};

/// The Earth's mean radius in kilometres (IUGG).
const MEAN_RADIUS_KM: f64 = 6_371.008_8;

/// A point on the Earth's surface, in degrees (WGS 84).
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct Point {
    /// Degrees north of the equator, -90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude: f64,
}

impl Point {
    /// A point, when both are finite and within range.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)).then_some(Self { latitude, longitude })
    }

    /// The great-circle distance in kilometres, by the haversine formula on a sphere of the Earth's mean radius. Off by at most 0.6 % from the ellipsoid.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let a = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        2.0 * MEAN_RADIUS_KM * a.sqrt().min(1.0).asin()
    }
}

/// Where a client is, as far as the databases know.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The continent: the database's word, else the country's.
    pub continent: Option<Continent>,
    /// The client's own coordinates; `None` where only the country is known, also where the database gives the middle of
    /// the country for want of anything better.
    pub point: Option<Point>,
    /// The number of the autonomous system that announces the address (RFC 6793).
    pub asn: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_on_the_globe() {
        let berlin = Point::new(52.52, 13.405).expect("valid");
        let sydney = Point::new(-33.8688, 151.2093).expect("valid");
        assert!((berlin.distance_km(sydney) - 16_094.0).abs() < 20.0);
        assert!(berlin.distance_km(berlin) < 1e-9);
        let (east, west) = (Point::new(0.0, 179.5).expect("valid"), Point::new(0.0, -179.5).expect("valid"));
        assert!((east.distance_km(west) - 111.2).abs() < 0.5);
    }

    #[test]
    fn a_point_off_the_globe_is_none() {
        assert_eq!(Point::new(91.0, 0.0), None);
        assert_eq!(Point::new(0.0, f64::NAN), None);
    }
}
