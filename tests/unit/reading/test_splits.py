from collections import Counter

from upscale_audit.reading.splits import SHARES, SPLITS, place_patient, split_patient


def test_patients_are_dealt_in_the_stated_shares():
    count = 20_000
    found = Counter(split_patient(str(number), seed=3) for number in range(count))
    assert set(found) == set(SPLITS)
    for name, share in zip(SPLITS, SHARES, strict=True):
        # Five standard deviations of a binomial share.
        assert abs(found[name] / count - share) < 5 * (share * (1 - share) / count) ** 0.5


def test_places_are_uniform_and_another_seed_deals_anew():
    places = [place_patient(f"p{number}", 0) for number in range(4_000)]
    assert min(places) >= 0
    assert max(places) < 1
    assert abs(sum(places) / 4_000 - 0.5) < 5 * (1 / 12 / 4_000) ** 0.5
    moved = sum(
        split_patient(f"p{number}", 0) != split_patient(f"p{number}", 1) for number in range(4_000)
    )
    # Two independent draws differ with 1 less the sum of the squared shares: 0.46.
    assert 0.4 < moved / 4_000 < 0.52


def test_a_patients_place_is_fixed_for_ever():
    # printf '0\n17' | sha256sum begins with these eight bytes.
    assert place_patient("17", 0) == (0x7722792A3ABF3C3A >> 11) / 2**53
