// SPDX-License-Identifier: Apache-2.0
#include <snap/snap.h>
// First and alone: that this compiles is half of the test.
#include <gtest/gtest.h>

extern "C" int c_abi_steps(void);

TEST(CAbi, WritesAndReadsFromC99) { EXPECT_EQ(c_abi_steps(), 0); }

TEST(CAbi, KeepsTheSizesOfItsStructs) {
#if defined(__LP64__)
  static_assert(sizeof(snap_error) == 32 && offsetof(snap_error, detail) == 24);
  static_assert(sizeof(snap_open_options) == 16);
  static_assert(sizeof(snap_source) == 32);
  static_assert(sizeof(snap_sink) == 24);
  static_assert(sizeof(snap_placement) == 24);
  static_assert(sizeof(snap_region) == 40);
  static_assert(sizeof(snap_read) == 32);
  static_assert(sizeof(snap_extent) == 24);
  static_assert(sizeof(snap_restore_options) == 24);
  static_assert(sizeof(snap_writer_options) == 32);
  static_assert(sizeof(snap_check_options) == 40);
  static_assert(sizeof(snap_check_result) == 80);
#else
  GTEST_SKIP() << "sizes are written down for 64 bits";
#endif
}
