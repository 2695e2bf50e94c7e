// SPDX-License-Identifier: Apache-2.0
#include <snap/snap.h>
// First and alone: that this compiles is half of the test.
#include <gtest/gtest.h>

extern "C" int c_abi_steps(void);

TEST(CAbi, WritesAndReadsFromC99) { EXPECT_EQ(c_abi_steps(), 0); }

TEST(CAbi, KeepsTheSizesOfItsStructs) {
#if defined(__LP64__)
  // A struct with a struct_size may grow; what it began with stays where it is.
  static_assert(sizeof(snap_error) == 32 && offsetof(snap_error, file_offset) == 8 && offsetof(snap_error, detail) == 24);
  static_assert(sizeof(snap_open_options) == 24 && offsetof(snap_open_options, parent) == 16);
  static_assert(sizeof(snap_source) == 32);
  static_assert(sizeof(snap_sink) == 24);
  static_assert(sizeof(snap_placement) == 24);
  static_assert(sizeof(snap_region) == 40);
  static_assert(sizeof(snap_read) == 32);
  static_assert(sizeof(snap_extent) == 24);
  static_assert(sizeof(snap_restore_options) == 24);
  static_assert(sizeof(snap_writer_options) == 56 && offsetof(snap_writer_options, parent) == 32);
  static_assert(sizeof(snap_check_options) == 48 && offsetof(snap_check_options, parent) == 40);
  static_assert(sizeof(snap_check_result) == 88 && offsetof(snap_check_result, content_compared) == 80);
  static_assert(sizeof(snap_parent) == 336);
#else
  GTEST_SKIP() << "sizes are written down for 64 bits";
#endif
}
