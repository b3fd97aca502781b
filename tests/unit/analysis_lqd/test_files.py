"""The published files, byte for byte."""

import numpy as np

from upscale_audit.analysis.lqd.files import (
    fill_published,
    spell_data,
    spell_statistics,
    write_published,
)
from upscale_audit.analysis.lqd.measure import measure_map


def test_the_data_file_is_spelled_as_pandas_spells_it():
    values = np.array([[1.0, 0.95], [-0.43812345, 0.1234567]])
    assert spell_data(values, 16) == (
        "row,col,local_ssim,pixel_y_start,pixel_x_start,pixel_y_end,pixel_x_end\n"
        "0,0,1.0,0,0,16,16\n"
        "0,1,0.95,0,16,16,32\n"
        "1,0,-0.438123,16,0,32,16\n"
        "1,1,0.123457,16,16,32,32\n"
    )


def test_the_statistics_are_unrounded_with_divisor_n():
    assert spell_statistics(np.array([[0.1, 0.2], [0.3, 0.7]]), 8) == (
        "mean_ssim,std_ssim,min_ssim,max_ssim,median_ssim,grid_rows,grid_cols,total_blocks,"
        "patch_size\n"
        "0.325,0.22776083947860745,0.1,0.7,0.25,2,2,4,8\n"
    )


def test_the_files_hold_the_map_rounded_and_its_statistics_unrounded(sample_pairs, tmp_path):
    measured = measure_map(*sample_pairs["upscayl_digital"], patch_px=16)
    data, statistics = write_published(measured, tmp_path)
    text = data.read_bytes()
    assert not text.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in text
    values = np.loadtxt(data, delimiter=",", skiprows=1, usecols=2)
    assert (values == np.round(measured.local_ssim, 6).ravel()).all()
    mean = float(statistics.read_text().splitlines()[1].split(",")[0])
    assert mean == measured.local_ssim.mean()


def test_cells_too_thin_to_measure_copy_their_left_neighbour(random_pair):
    measured = measure_map(*random_pair((23, 20)), patch_px=8)
    values = fill_published(measured)
    assert (values[:, 2] == values[:, 1]).all()
    assert (values[2, :2] == measured.clipped_ssim[2, :2]).all()
    assert len({values[1, 0], values[2, 0]}) == 2


def test_a_thin_last_row_copies_from_the_cell_above_in_its_first_column(random_pair):
    measured = measure_map(*random_pair((20, 16)), patch_px=8)
    values = fill_published(measured)
    assert values[2].tolist() == [values[1, 0], values[1, 0]]
    assert np.isnan(measured.local_ssim[2]).all()


def test_pixel_ends_are_not_clipped_to_the_image(random_pair, tmp_path):
    data, _ = write_published(measure_map(*random_pair((20, 16)), patch_px=8), tmp_path)
    assert data.read_text().splitlines()[-1].endswith(",16,8,24,16")
