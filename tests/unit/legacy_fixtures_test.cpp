// SPDX-License-Identifier: Apache-2.0
// Images that QEMU and KVM of 2008 and 2009 wrote themselves (tests/data/legacy): the RAM is the one a debugger read out of the
// stopped emulator, the VM state comes back byte for byte. Truths are SHA-256; those of the streams come from an independent
// walk through the images.
#include <zstd.h>

#include <fstream>
#include <iterator>

#include "paths.h"
#include "support/legacy_import.h"
#include "support/sha256.h"

namespace snap::test {
namespace {

struct Fixture {
  const char* image;
  const char* snapshot;
  std::uint64_t ram_bytes;
  const char* layout;
  const char* sha_ram;
  const char* sha_phys;
  const char* sha_stream;
};

constexpr const char* kSmallRam = "75890b156d80e6b47a8784de62013bef6d7007facab57f3ab16f97544c555144";
constexpr const char* kSmallPhys = "5032d664b8381526e361d601bd149277c0fcdb2807d2d6874e9116231a75ae71";
constexpr const char* kSmallLayout = "pc.ram 16777216 vga.vram 8388608 pc.bios 4194304";
constexpr const char* kLargeLayout = "pc.ram 33554432 vga.vram 8388608 pc.bios 4194304";

const Fixture kFixtures[] = {
    {"q2008-16m-one", "one", 16777216, kSmallLayout, kSmallRam, kSmallPhys,
     "9a72dec55c82c696189c7e064a52200e4d9a154a68f54433006a14f46ef58aec"},
    {"q2008-32m-disk", "a", 33554432, kLargeLayout, "29c0339a5fae46cc4865afbc9cbcf6bb9a5f50ddb9d3a2af74add75f9806bfab",
     "d9673906ff02dfd970b3300825f4451cabc57e727b5e459bef46c7e8192d1f4a",
     "e790ecc21ac17aa7fef38c403ed9a17452efcbafcdd6bfb9a4066460a0ce6e24"},
    {"q2008-32m-disk", "2", 33554432, kLargeLayout, "e6967c3694202f304ee4ca1333bbfdc7dbed1308ac1437c8ee1e94f16e8a1d7f",
     "ec233fc7d76afffd6682a70f4bd09a9c0e800c84a7b000ea138f8bb62c334f60",
     "8017def09ce1265983da95da193399ebc5a425481d489af1ac95c6a82fc155ec"},
    {"patched-16k-blocks", "one", 16777216, kSmallLayout, kSmallRam, kSmallPhys,
     "d303773b38ac983810a4e88790c4fd26d078023c7e1bace68b2f9a23748d24c4"},
    {"kvm77-16m-nokvm", "k", 16777216, "pc.ram 16777216 vga.vram 16777216 pc.bios 4194304",
     "253826f9d951ea53cc71b9769ab5abb621c4ab6e5b2f19dc105fc3ef907970f3",
     "24a8e95462cb3def2c83bbc7c6e2fb8f886ab29daf836de5c26245812c879085",
     "111efb992147f69a0facddd48f5499c725f27822242c619cc46e0b3dd5a4206d"},
    {"q0106-16m-live3", "live", 16777216, kSmallLayout, "135e1538e9ecb7600e20944253fba82193c90f86776d3e0494abeda6ff34b64d",
     "c33b855c51573cd5bdfd093f8b12281c2d40d9f4db62babf557b5c835b48b87d",
     "401a3fad0f439364d22ad882eed7850b72e516f84bbef7ab2b6d4755648017fa"},
    {"syn-ramv1-16m", "v1", 16777216, kSmallLayout, kSmallRam, kSmallPhys,
     "6167a8d29f589d1e36183005434b583e1b81d2eba6c12e3ba019884c49ad0e3a"},
};

Buffer load(const std::string& name) {
  std::ifstream file(std::string(SNAP_TEST_DATA "/legacy/") + name + ".qcow2.zst", std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), {}};
  Buffer image(ZSTD_getFrameContentSize(packed.data(), packed.size()));
  EXPECT_EQ(ZSTD_decompress(image.data(), image.size(), packed.data(), packed.size()), image.size());
  return image;
}

class LegacyFixture : public testing::TestWithParam<Fixture> {};

TEST_P(LegacyFixture, GivesTheMemoryAndTheVmStateBack) {
  const Fixture& fixture = GetParam();
  const Buffer image = load(fixture.image);
  ImportOptions options;
  options.snapshot = fixture.snapshot;
  std::atomic<std::uint64_t> progress = 0;
  options.progress = &progress;
  const Imported imported = import_image(image, options);
  ASSERT_TRUE(imported.ok()) << imported.error.what << " at " << imported.error.file_offset;
  EXPECT_EQ(memory_layout(imported.snapshot), fixture.layout);
  const Buffer phys = imported.snapshot.memory();
  EXPECT_EQ(sha256(phys), fixture.sha_phys);
  EXPECT_EQ(sha256(std::span(phys).first(fixture.ram_bytes)), fixture.sha_ram);
  const Exported exported = export_state(imported.snapshot);
  EXPECT_EQ(sha256(exported.stream), fixture.sha_stream);
  EXPECT_TRUE(exported.report.identical);
  EXPECT_EQ(imported.snapshot.metadata.at("machine"), "pc");
  EXPECT_EQ(imported.snapshot.metadata.at("source.format"), "qcow2");
  EXPECT_EQ(progress.load(), exported.stream.size());
}

TEST_P(LegacyFixture, NeedsNoOriginalBytesToBeLossless) {
  const Buffer image = load(GetParam().image);
  ImportOptions options;
  options.snapshot = GetParam().snapshot;
  options.lossless = true;
  const Imported imported = import_image(image, options);
  ASSERT_TRUE(imported.ok()) << imported.error.what;
  EXPECT_EQ(imported.snapshot.find("qemu.vmstate.ram-original"), nullptr);
  EXPECT_TRUE(export_state(imported.snapshot).report.identical);
}

TEST_P(LegacyFixture, GivesTheSameWithoutThreads) {
  const Buffer image = load(GetParam().image);
  ImportOptions options;
  options.snapshot = GetParam().snapshot;
  options.threads = 0;
  const Imported imported = import_image(image, options);
  ASSERT_TRUE(imported.ok()) << imported.error.what;
  EXPECT_EQ(sha256(imported.snapshot.memory()), GetParam().sha_phys);
}

std::string fixture_name(const testing::TestParamInfo<Fixture>& info) {
  std::string name = std::string(info.param.image) + "_" + info.param.snapshot;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, LegacyFixture, testing::ValuesIn(kFixtures), fixture_name);

// A cut image is refused or, where only bytes of the disk are gone, gives the same. One place in each 64 KiB is cut.
TEST(LegacyImage, CutAnywhereNeverGivesOtherMemory) {
  const Buffer image = load("q2008-16m-one");
  std::mt19937 random(20081006);
  for (std::size_t begin = 0; begin < image.size(); begin += 65536) {
    const std::size_t cut = std::min(image.size() - 1, begin + random() % 65536);
    const Imported imported = import_image(Buffer(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(cut)));
    EXPECT_FALSE(imported.ok()) << "cut at " << cut;
  }
}

TEST(LegacyImage, ListsItsSnapshots) {
  const Buffer image = load("q2008-32m-disk");
  const auto source = memory_source(image);
  const auto list = list_qcow2_snapshots(*source);
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[0].name, "a");
  EXPECT_EQ((*list)[1].id, "2");
  EXPECT_EQ((*list)[1].vm_state_bytes, 2532540u);
  EXPECT_EQ((*list)[1].disk_bytes, 5242880u);
}

}  // namespace
}  // namespace snap::test
