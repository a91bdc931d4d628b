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

/// A point as a vector of length 1 from the middle of the Earth: to tell which of two is nearer takes no trigonometry then.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Direction([f32; 3]);

impl From<Point> for Direction {
    #[expect(clippy::cast_possible_truncation, reason = "half a metre is near enough")]
    fn from(point: Point) -> Self {
        let (latitude, longitude) = (point.latitude.to_radians(), point.longitude.to_radians());
        let around = latitude.cos();
        Self([around * longitude.cos(), around * longitude.sin(), latitude.sin()].map(|part| part as f32))
    }
}

impl Direction {
    /// The square of the straight line through the Earth, in units of its radius: 0 to 4. It grows with the distance.
    #[must_use]
    pub fn chord_squared(self, other: Self) -> f32 {
        let ([ax, ay, az], [bx, by, bz]) = (self.0, other.0);
        let (x, y, z) = (ax - bx, ay - by, az - bz);
        x * x + y * y + z * z
    }
}

/// What [`Direction::chord_squared`] gives for a distance on the Earth's surface; infinity for one that is longer than half round it.
#[must_use]
pub fn chord_squared_of_km(km: f64) -> f32 {
    let half_angle = km / (2.0 * MEAN_RADIUS_KM);
    if half_angle >= std::f64::consts::FRAC_PI_2 {
        return f32::INFINITY;
    }
    #[expect(clippy::cast_possible_truncation, reason = "half a metre is near enough")]
    let squared = (2.0 * half_angle.sin()).powi(2) as f32;
    squared
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
    fn straight_lines_tell_the_same_as_distances_on_the_globe() {
        let point = |latitude, longitude| Point::new(latitude, longitude).expect("valid");
        let places = [(52.52, 13.405), (-33.87, 151.2), (0.0, 179.9), (0.0, -179.9), (90.0, 0.0), (-90.0, 77.0), (51.5, 13.4)];
        for (from, to) in places.iter().flat_map(|from| places.iter().map(move |to| (from, to))) {
            let (from, to) = (point(from.0, from.1), point(to.0, to.1));
            let chord = Direction::from(from).chord_squared(to.into());
            let expected = chord_squared_of_km(from.distance_km(to).min(20_015.0));
            assert!((chord - expected).abs() < 1e-5, "{from:?} {to:?}: {chord} {expected}");
        }
        assert_eq!(chord_squared_of_km(20_016.0), f32::INFINITY);
    }

    #[test]
    fn a_point_off_the_globe_is_none() {
        assert_eq!(Point::new(91.0, 0.0), None);
        assert_eq!(Point::new(0.0, f64::NAN), None);
    }
}
