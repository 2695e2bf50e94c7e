// SPDX-License-Identifier: Apache-2.0
// The forms of old VM states that no fixture has, made byte by byte in support/old_vmstate.h.
#include "support/legacy_import.h"

namespace snap::test {
namespace {

constexpr std::uint64_t kBios = 4 * kMiB;
constexpr std::uint64_t kKvmExtra = 0x3000;

Buffer without_hole(Buffer ram) {
  std::fill(ram.begin() + 0xa0000, ram.begin() + 0xc0000, std::byte{0});
  return ram;
}

TEST(QemuLegacy, KnowsWhereTheGuestSeesItsMemory) {
  const Buffer ram = sample_ram(2 * kMiB + 8 * kMiB + kBios);
  const Buffer stream = old_vmstate(ram, 2 * kMiB);
  const Imported imported = import_state(stream);
  expect_round_trip(imported, stream);
  EXPECT_TRUE(imported.snapshot.memory() == ram);
  EXPECT_EQ(memory_layout(imported.snapshot), "pc.ram 2097152 vga.vram 8388608 pc.bios 4194304");
  const std::vector<Placement> expected = {{0, 0, 0xa0000}, {0x100000, 0x100000, 0x100000}};
  EXPECT_EQ(imported.snapshot.find("pc.ram")->info.placements, expected);
  EXPECT_EQ(imported.snapshot.metadata.at("qemu.writer"), "qemu 0.9.1 to 0.12");
  EXPECT_EQ(imported.snapshot.metadata.at("source.format"), "vmstate");
}

TEST(QemuLegacy, KeepsTheMemoryOfAnUnknownMachineWhole) {
  const Buffer ram = sample_ram(3 * kMiB);
  for (const std::uint64_t cmos : {std::uint64_t{0}, 2 * kMiB, 64 * kMiB}) {
    const Buffer stream = old_vmstate(ram, cmos);
    const Imported imported = import_state(stream);
    expect_round_trip(imported, stream);
    EXPECT_EQ(memory_layout(imported.snapshot), "phys_ram 3145728");
    EXPECT_FALSE(imported.snapshot.metadata.contains("machine"));
    MemoryReader reader(imported.snapshot);
    EXPECT_EQ(reader.regions()[*main_memory(reader)].name, "phys_ram");
  }
}

TEST(QemuLegacy, PutsTheVgaHoleBackThatKvmLeftOut) {
  const Buffer ram = without_hole(sample_ram(2 * kMiB + 16 * kMiB + kBios + kKvmExtra));
  const Buffer stream = old_vmstate(ram, 2 * kMiB, {.hole = true}, true);
  const Imported imported = import_state(stream);
  expect_round_trip(imported, stream);
  EXPECT_TRUE(imported.snapshot.memory() == ram);
  EXPECT_EQ(memory_layout(imported.snapshot), "pc.ram 2097152 vga.vram 16777216 pc.bios 4206592");
}

TEST(QemuLegacy, TellsByTheLengthWhetherOldKvmLeftTheHoleOut) {
  for (const bool hole : {false, true}) {
    const Buffer all = sample_ram(kMiB + 8 * kMiB + 320 * 1024 + 0x1200 + kKvmExtra);
    const Buffer ram = hole ? without_hole(all) : all;
    const Buffer stream = old_vmstate(ram, kMiB, {.hole = hole}, true);
    const Imported imported = import_state(stream);
    expect_round_trip(imported, stream);
    EXPECT_TRUE(imported.snapshot.memory() == ram) << hole;
    EXPECT_EQ(imported.snapshot.metadata.at("qemu.writer"), "kvm-14 to kvm-44");
  }
}

TEST(QemuLegacy, ReadsLargeBlocksThatRunPastTheEndOfMemory) {
  for (const bool kvm : {false, true}) {
    const Buffer all = sample_ram(2 * kMiB + 16 * kMiB + kBios + kKvmExtra);
    const Buffer ram = kvm ? without_hole(all) : all;
    const Buffer stream = old_vmstate(ram, kvm ? 2 * kMiB : 0, {.block = 16384, .hole = kvm}, kvm);
    const Imported imported = import_state(stream);
    expect_round_trip(imported, stream);
    EXPECT_TRUE(imported.snapshot.memory() == ram) << kvm;
    EXPECT_EQ(imported.snapshot.metadata.at("qemu.ram.block"), "16384");
  }
}

// All zero: no type byte can tell the block sizes apart, only the length can.
TEST(QemuLegacy, TellsTheBlockSizeOfZerosByTheLength) {
  for (const std::size_t block : {std::size_t{1024}, std::size_t{16384}}) {
    const Buffer ram(3 * kMiB);
    const Buffer stream = old_vmstate(ram, 0, {.block = block});
    const Imported imported = import_state(stream);
    expect_round_trip(imported, stream);
    EXPECT_EQ(imported.snapshot.metadata.at("qemu.ram.block"), std::to_string(block));
  }
}

TEST(QemuLegacy, KeepsTheOriginalWhereItCannotBeMadeAgain) {
  const Buffer ram = sample_ram(kMiB);
  for (const DeflateAs& as : {DeflateAs{.level = 6}, DeflateAs{.memory_level = 8}, DeflateAs{.piece = 1000}}) {
    const Buffer stream = old_vmstate(ram, 0, as);
    const Imported plain = import_state(stream);
    ASSERT_TRUE(plain.ok()) << plain.error.what;
    EXPECT_TRUE(plain.snapshot.memory() == ram);
    const Exported differing = export_state(plain.snapshot);
    EXPECT_TRUE(differing.report.digest_known);
    EXPECT_FALSE(differing.report.identical);
    ImportOptions options;
    options.lossless = true;
    const Imported lossless = import_state(stream, options);
    expect_round_trip(lossless, stream);
    EXPECT_NE(lossless.snapshot.find("qemu.vmstate.ram-original"), nullptr);
  }
}

TEST(QemuLegacy, KeepsBytesBehindTheZlibStreamOfItsRecord) {
  const Buffer ram = sample_ram(kMiB);
  Buffer body = static_ram_body(ram);
  put_text(body, "left over");
  const Buffer stream = container(2, {timer(), record("ram", 2, body), devices(0)});
  expect_round_trip(import_state(stream), stream);
}

TEST(QemuLegacy, ReadsContainer1) {
  const Buffer ram = sample_ram(2 * kMiB);
  for (const bool hole : {false, true}) {
    const Buffer sent = hole ? without_hole(ram) : ram;
    for (const Buffer& end : {Buffer{}, Buffer(1)}) {
      const Buffer stream = container(1, {timer(), record("ram", 1, version_1_body(sent, hole)), devices(0), end});
      const Imported imported = import_state(stream);
      expect_round_trip(imported, stream);
      EXPECT_TRUE(imported.snapshot.memory() == sent);
      EXPECT_EQ(imported.snapshot.metadata.at("qemu.container"), "1");
    }
  }
}

TEST(QemuLegacy, ReadsLiveMemoryOfKvm) {
  const Buffer ram = sample_ram(kMiB);
  Buffer body(1, std::byte{1});
  for (std::size_t at = 0; at < ram.size(); at += 4096) {
    put_be(body, at, 4);
    body.insert(body.end(), ram.begin() + static_cast<std::ptrdiff_t>(at), ram.begin() + static_cast<std::ptrdiff_t>(at + 4096));
  }
  put_be(body, 1, 4);
  const Buffer stream = container(2, {timer(), record("ram", 3, body), devices(0)});
  const Imported imported = import_state(stream);
  expect_round_trip(imported, stream);
  EXPECT_TRUE(imported.snapshot.memory() == ram);
  EXPECT_EQ(imported.snapshot.metadata.at("qemu.ram.form"), "live");
}

// Three revisions of one day in 2008: container 3, but the RAM as before, behind "timer" and without a length.
TEST(QemuLegacy, ReadsTheRamOfTheDayBetweenTheContainers) {
  const Buffer ram = sample_ram(2 * kMiB + 8 * kMiB + kBios);
  Buffer cmos = cmos_of(2 * kMiB);
  cmos.resize(161);
  Buffer end = section(4, 9, "mc146818rtc", 1, cmos);
  end.push_back(std::byte{0});
  const Buffer stream = container(3, {section(4, 1, "timer", 2, Buffer(24)), section(4, 2, "ram", 2, static_ram_body(ram)),
                                      section(4, 3, "cpu", 4, Buffer(999)), end});
  const Imported imported = import_state(stream);
  expect_round_trip(imported, stream);
  EXPECT_TRUE(imported.snapshot.memory() == ram);
  EXPECT_EQ(imported.snapshot.metadata.at("machine"), "pc");
}

constexpr std::uint64_t kSentTwice = 100;

Buffer live_stream(const Buffer& ram, bool repeat, bool block) {
  Buffer first;
  put_be(first, ram.size() | 4, 8);
  const std::uint64_t pages = ram.size() / 4096;
  const Buffer older = sample_ram(ram.size(), 99, 1);
  for (std::uint64_t page = 0; page < pages / 2; ++page) put_live_page(first, repeat && page < kSentTwice ? older : ram, page);
  put_be(first, 0x10, 8);
  Buffer last;
  for (std::uint64_t page = 0; repeat && page < kSentTwice; ++page) put_live_page(last, ram, page);
  for (std::uint64_t page = pages / 2; page < pages; ++page) put_live_page(last, ram, page);
  put_be(last, 0x10, 8);
  Buffer empty_block;
  put_be(empty_block, 2, 8);
  Buffer empty;
  put_be(empty, 0x10, 8);
  Buffer end(1);
  return container(3,
                   {section(1, 1, "ram", 3, first), block ? section(1, 2, "block", 1, empty_block) : Buffer{}, part(2, 1, empty),
                    block ? part(2, 2, empty_block) : Buffer{}, part(3, 1, last), section(4, 3, "cpu", 4, Buffer(999)), end});
}

TEST(QemuLegacy, ReadsUpstreamLiveMemory) {
  const Buffer ram = sample_ram(kMiB);
  for (const bool block : {false, true}) {
    const Buffer stream = live_stream(ram, false, block);
    const Imported imported = import_state(stream);
    expect_round_trip(imported, stream);
    EXPECT_TRUE(imported.snapshot.memory() == ram);
    EXPECT_EQ(imported.snapshot.find("phys_ram")->order, PageOrder::kAscending);
  }
}

TEST(QemuLegacy, TakesTheLastOfAPageSentTwice) {
  const Buffer ram = sample_ram(kMiB);
  const Buffer stream = live_stream(ram, true, false);
  const Imported plain = import_state(stream);
  ASSERT_TRUE(plain.ok()) << plain.error.what;
  EXPECT_TRUE(plain.snapshot.memory() == ram);
  EXPECT_EQ(plain.snapshot.find("phys_ram")->order, PageOrder::kAnyOrder);
  // What cannot be the same is written all the same.
  const auto exported = export_state(plain.snapshot);
  EXPECT_EQ(exported.error.code, Code::kOk) << exported.error.what;
  EXPECT_EQ(exported.report.bytes, stream.size());
  EXPECT_FALSE(exported.report.identical);
  ImportOptions options;
  options.lossless = true;
  expect_round_trip(import_state(stream, options), stream);
}

/// A zlib stream of that many zeros but for one byte, quickly: matches of 258 bytes in fixed codes.
Buffer zlib_zeros(std::uint64_t count, std::uint64_t at, std::uint8_t byte) {
  Buffer out = {std::byte{0x78}, std::byte{0x01}};
  std::uint64_t bits = 0;
  unsigned held = 0;
  const auto put_bits = [&](std::uint64_t value, unsigned length) {  // a code's first bit goes lowest
    for (; length != 0; --length) {
      bits |= (value >> (length - 1) & 1) << held;
      if (++held == 8) out.push_back(static_cast<std::byte>(bits)), bits = held = 0;
    }
  };
  const auto put_zeros = [&](std::uint64_t zeros) {
    if (zeros-- == 0) return;
    put_bits(0x30, 8);
    for (; zeros >= 258; zeros -= 258) put_bits(0xc5 << 5, 13);
    for (; zeros > 0; --zeros) put_bits(0x30, 8);
  };
  put_bits(6, 3);  // the last block, fixed codes
  put_zeros(at);
  put_bits(0x30u + byte, 8);
  put_zeros(count - at - 1);
  put_bits(0, 14);  // the end, and up to a whole byte
  put_be(out, (count + byte * (count - at)) % 65521 << 16 | (1u + byte), 4);
  return out;
}

TEST(QemuLegacy, TakesASizeOver4GiBFromTheInflatedLength) {
  const std::uint64_t ram_bytes = 4112 * kMiB;
  const std::uint64_t phys_bytes = ram_bytes + 8 * kMiB + kBios;
  Buffer body;
  put_be(body, phys_bytes, 4);
  EXPECT_EQ(body, (Buffer{std::byte{1}, std::byte{0xc0}, std::byte{0}, std::byte{0}}));
  put(body, cblocks(zlib_zeros(phys_bytes / 1024 * 1025, 16385, 0x55)));  // where a large block would have its type
  const Imported imported = import_state(container(2, {timer(), record("ram", 2, body), devices(ram_bytes)}));
  ASSERT_TRUE(imported.ok()) << imported.error.what;
  EXPECT_EQ(memory_layout(imported.snapshot), "pc.ram 4311744512 vga.vram 8388608 pc.bios 4194304");
  const std::vector<Placement> expected = {
      {0, 0, 0xa0000}, {0x100000, 0x100000, 0xdff00000}, {0x100000000, 0xe0000000, 0x21000000}};
  EXPECT_EQ(imported.snapshot.find("pc.ram")->info.placements, expected);
  // A guest that wrote 16 MiB into its CMOS: what is more than that is kept, but no name is trusted.
  const Imported fooled = import_state(container(2, {timer(), record("ram", 2, body), devices(16 * kMiB)}));
  ASSERT_TRUE(fooled.ok()) << fooled.error.what;
  EXPECT_EQ(memory_layout(fooled.snapshot), "pc.ram 16777216 vga.vram 8388608 pc.bios 4194304 phys_ram.rest 4294967296");
  MemoryReader reader(fooled.snapshot);
  EXPECT_FALSE(main_memory(reader));
}

}  // namespace
}  // namespace snap::test
