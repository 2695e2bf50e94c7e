// SPDX-License-Identifier: Apache-2.0
// The qcow2 part of importing old images, with images made byte by byte in support/qcow2_builder.h.
#include "vmm/qcow2.h"
#include "support/legacy_import.h"
#include "support/qcow2_builder.h"

namespace snap::test {
namespace {

Buffer small_state(unsigned seed = 1) { return old_vmstate(sample_ram(kMiB, seed), 0); }

Qcow2Spec one_snapshot() {
  Qcow2Spec spec;
  spec.snapshots.push_back({.state = small_state()});
  return spec;
}

Imported import_patched(const Qcow2Built& built, std::size_t at, std::uint64_t value, unsigned bytes) {
  Buffer file = built.file;
  patch_be(file, at, value, bytes);
  return import_image(file);
}

TEST(Qcow2, FindsTheVmStateBehindTheDisk) {
  for (const unsigned version : {2u, 3u}) {
    for (const unsigned cluster_log2 : {9u, 12u, 16u}) {
      for (const std::uint64_t disk : {std::uint64_t{0}, kMiB, 4 * kMiB, 5 * kMiB + 512}) {
        Qcow2Spec spec = one_snapshot();
        spec.version = version;
        spec.cluster_log2 = cluster_log2;
        spec.disk_bytes = disk;
        expect_round_trip(import_image(build_qcow2(spec).file), spec.snapshots[0].state);
      }
    }
  }
}

TEST(Qcow2, DescribesTheSnapshot) {
  Qcow2Spec spec = one_snapshot();
  spec.snapshots[0].name = "caf\xc3\xa9 \xff";
  const Imported imported = import_image(build_qcow2(spec).file);
  ASSERT_TRUE(imported.ok()) << imported.error.what;
  EXPECT_EQ(imported.snapshot.metadata.at("source.snapshot.id"), "1");
  EXPECT_EQ(imported.snapshot.metadata.at("source.snapshot.name"), "caf\xc3\xa9 %FF");
  EXPECT_EQ(imported.snapshot.metadata.at("source.time"), "2008-10-06T00:00:00Z");
}

TEST(Qcow2, LooksIdsUpBeforeNames) {
  Qcow2Spec spec;
  spec.snapshots.push_back({.id = "1", .name = "2", .state = small_state(1)});
  spec.snapshots.push_back({.id = "2", .name = "two", .state = small_state(2)});
  spec.snapshots.push_back({.id = "7", .name = "disk", .state = {}});
  const Buffer image = build_qcow2(spec).file;
  const auto chosen = [&](std::string name) {
    ImportOptions options;
    options.snapshot = std::move(name);
    return import_image(image, options);
  };
  EXPECT_EQ(chosen("2").snapshot.metadata.at("source.snapshot.name"), "two");
  EXPECT_EQ(chosen("two").snapshot.metadata.at("source.snapshot.id"), "2");
  EXPECT_EQ(chosen("1").snapshot.metadata.at("source.snapshot.name"), "2");
  expect_refused(chosen("three"), Code::kNotFound, "no snapshot of that ID or name");
  expect_refused(chosen("disk"), Code::kNotFound, "of the disk only");
  expect_refused(chosen(""), Code::kInvalidArgument, "one must be named");
}

TEST(Qcow2, TakesTheOnlySnapshotWithVmState) {
  Qcow2Spec spec = one_snapshot();
  spec.snapshots.insert(spec.snapshots.begin(), {.id = "9", .name = "disk", .state = {}});
  EXPECT_EQ(import_image(build_qcow2(spec).file).snapshot.metadata.at("source.snapshot.id"), "1");
  spec.snapshots.pop_back();
  expect_refused(import_image(build_qcow2(spec).file), Code::kNotFound, "without VM state");
  spec.snapshots.clear();
  expect_refused(import_image(build_qcow2(spec).file), Code::kNotFound, "no internal snapshots");
}

TEST(Qcow2, GoesByTheExtraDataWhateverTheVersion) {
  for (const unsigned version : {2u, 3u}) {
    Qcow2Spec spec = one_snapshot();
    spec.version = version;
    SnapshotSpec& snapshot = spec.snapshots[0];
    snapshot.listed_bytes = 0;
    put_be(snapshot.extra, snapshot.state.size(), 8);
    expect_round_trip(import_image(build_qcow2(spec).file), snapshot.state);
    // The image was resized later: the snapshot's disk size counts.
    put_be(snapshot.extra, spec.disk_bytes, 8);
    put_be(snapshot.extra, 0, 8);
    Qcow2Built built = build_qcow2(spec);
    patch_be(built.file, 24, 900 * kMiB, 8);
    expect_round_trip(import_image(built.file), snapshot.state);
    const auto source = memory_source(built.file);
    EXPECT_EQ((*list_qcow2_snapshots(*source))[0].disk_bytes, spec.disk_bytes);
  }
}

TEST(Qcow2, RefusesADiskThatGotNoData) {
  Qcow2Spec spec = one_snapshot();
  spec.snapshots[0].data = false;
  expect_refused(import_image(build_qcow2(spec).file), Code::kNotFound, "another disk");
}

TEST(Qcow2, ReadsCompressedClusters) {
  Qcow2Spec spec = one_snapshot();
  spec.snapshots[0].compressed = true;
  for (const unsigned cluster_log2 : {12u, 16u}) {
    spec.cluster_log2 = cluster_log2;
    expect_round_trip(import_image(build_qcow2(spec).file), spec.snapshots[0].state);
  }
  Qcow2Built built = build_qcow2(spec);
  built.file[65536] ^= std::byte{0x06};
  expect_refused(import_image(built.file), Code::kCorrupt, "does not inflate");
  spec.version = 3;
  spec.features = 8;
  expect_refused(import_image(build_qcow2(spec).file), Code::kUnsupported, "zstd");
}

TEST(Qcow2, ReadsZerosWhereTheFileEndsInsideItsLastCluster) {
  Qcow2Spec spec = one_snapshot();
  Buffer& state = spec.snapshots[0].state;
  const Buffer filler = record("filler", 1, Buffer(4096 - (state.size() + 21) % 4096 + 3000));
  put(state, filler);
  patch_be(state, 8, state.size() - 16, 8);
  Qcow2Built built = build_qcow2(spec);
  // The last cluster of VM state, of which all but the first bytes are zero, moves to the end of the file.
  const std::size_t last = (state.size() - 1) / 4096;
  const std::size_t entry = built.l2_offsets[0] + 8 * last;
  built.file.resize((built.file.size() + 4095) / 4096 * 4096);
  patch_be(built.file, entry, built.file.size(), 8);
  built.file.insert(built.file.end(), state.begin() + static_cast<std::ptrdiff_t>(last * 4096),
                    state.begin() + static_cast<std::ptrdiff_t>(last * 4096 + 1));
  expect_round_trip(import_image(built.file), state);
  built.file.pop_back();
  expect_refused(import_image(built.file), Code::kTruncated, "past the end of the image");
}

TEST(Qcow2, RefusesHeadersItDoesNotKnow) {
  const Qcow2Built built = build_qcow2(one_snapshot());
  expect_refused(import_image(Buffer(100)), Code::kCorrupt, "not a qcow2");
  expect_refused(import_image(Buffer(10)), Code::kTruncated, "inside its qcow2 header");
  expect_refused(import_patched(built, 4, 0, 4), Code::kCorrupt, "unknown qcow2 version");
  expect_refused(import_patched(built, 4, 1, 4), Code::kUnsupported, "version 1");
  expect_refused(import_patched(built, 4, 4, 4), Code::kUnsupported, "unknown qcow2 version");
  for (const std::uint64_t bits : {0, 8, 22, 64}) {
    expect_refused(import_patched(built, 20, bits, 4), Code::kCorrupt, "cluster size");
  }
  expect_refused(import_patched(built, 32, 1, 4), Code::kUnsupported, "encrypted");
  Qcow2Spec spec = one_snapshot();
  spec.version = 3;
  for (const auto& [features, cause] : {std::pair{4, "external data file"}, {16, "extended L2"}, {32, "unknown incompatible"}}) {
    spec.features = static_cast<std::uint64_t>(features);
    expect_refused(import_image(build_qcow2(spec).file), Code::kUnsupported, cause);
  }
  spec.features = 3;  // dirty and corrupt do no harm to reading
  EXPECT_TRUE(import_image(build_qcow2(spec).file).ok());
  expect_refused(import_patched(build_qcow2(spec), 100, 96, 4), Code::kCorrupt, "header length");
}

TEST(Qcow2, BoundsEveryCount) {
  const Qcow2Built built = build_qcow2(one_snapshot());
  const std::size_t entry = built.table_offset;
  expect_refused(import_patched(built, 60, 65537, 4), Code::kLimit, "too many");
  expect_refused(import_patched(built, 60, 60000, 4), Code::kTruncated, "snapshot table");
  expect_refused(import_patched(built, 60, 2, 4), Code::kTruncated, "snapshot table");
  expect_refused(import_patched(built, 64, ~std::uint64_t{0}, 8), Code::kTruncated, "snapshot table");
  expect_refused(import_patched(built, 64, built.file.size() - 8, 8), Code::kTruncated, "snapshot table");
  expect_refused(import_patched(built, entry + 36, 1025, 4), Code::kLimit, "extra data");
  expect_refused(import_patched(built, entry + 36, 1024, 4), Code::kTruncated, "snapshot table");
  expect_refused(import_patched(built, entry + 12, 0xffff, 2), Code::kTruncated, "snapshot table");
  expect_refused(import_patched(built, entry + 8, 0xffffffff, 4), Code::kLimit, "L1 table");
  expect_refused(import_patched(built, entry + 8, 1u << 20, 4), Code::kTruncated, "L1 table");
  expect_refused(import_patched(built, entry, ~std::uint64_t{0}, 8), Code::kTruncated, "L1 table");
  expect_refused(import_patched(built, entry + 32, 5, 4), Code::kTruncated, "VM state ends early");
  expect_refused(import_patched(built, entry + 32, 0x7fffffff, 4), Code::kCorrupt, "not that of the snapshot table");
  // The disk is so large that the L1 table has no entry behind it.
  expect_refused(import_patched(built, 24, ~std::uint64_t{0}, 8), Code::kNotFound, "another disk");
}

TEST(Qcow2, RefusesTablesOutsideTheFile) {
  const Qcow2Built built = build_qcow2(one_snapshot());
  const std::size_t l1 = built.l1_offsets[0] + 3 * 8;  // behind 5 MiB of disk
  expect_refused(import_patched(built, l1, 0x123000200, 8), Code::kCorrupt, "L1 entry is not aligned");
  expect_refused(import_patched(built, l1, 0x123000000, 8), Code::kTruncated, "L2 table");
  const std::size_t l2 = built.l2_offsets[0];
  expect_refused(import_patched(built, l2, 0x200, 8), Code::kCorrupt, "L2 entry is not aligned");
  expect_refused(import_patched(built, l2, 0x123000000, 8), Code::kTruncated, "past the end of the image");
  // The stream says more than the file can hold.
  Qcow2Spec spec = one_snapshot();
  patch_be(spec.snapshots[0].state, 8, std::uint64_t{1} << 40, 8);
  expect_refused(import_image(build_qcow2(spec).file), Code::kTruncated, "larger than the image");
}

TEST(Qcow2, CutAnywhereIsRefused) {
  const Buffer image = build_qcow2(one_snapshot()).file;
  for (std::size_t cut = 0; cut < image.size(); cut += 997) {
    EXPECT_FALSE(import_image(Buffer(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(cut))).ok()) << cut;
  }
}

/// Counts the reads that arrive.
class CountingSource final : public RandomSource {
 public:
  explicit CountingSource(const Buffer& bytes) : inner_(memory_source(bytes)) {}
  Result<std::uint64_t> size() override { return inner_->size(); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    ++reads;
    return inner_->read_at(offset, out);
  }
  unsigned reads = 0;

 private:
  std::unique_ptr<RandomSource> inner_;
};

TEST(Qcow2, ReadsClustersThatLieTogetherInOneGo) {
  Qcow2Spec spec;
  spec.snapshots.push_back({.state = Buffer(512 * 4096, std::byte{1})});
  const Buffer file = build_qcow2(spec).file;
  CountingSource source(file);
  const auto image = Qcow2Image::open(source);
  const auto entries = image->snapshots();
  const auto state = image->vm_state(entries->at(0));
  ASSERT_TRUE(state);
  source.reads = 0;
  Buffer all(512 * 4096);
  const auto got = (*state)->read_at(0, all);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, all.size());
  EXPECT_TRUE(all == spec.snapshots[0].state);
  EXPECT_EQ(source.reads, 2u);  // the L2 table and the clusters
}

}  // namespace
}  // namespace snap::test
