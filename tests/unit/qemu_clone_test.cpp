// SPDX-License-Identifier: Apache-2.0
// Streams that hold only what differs from a base; and where guests see their RAM.
#include "support/chain.h"
#include "support/stream_import.h"
#include "vmm/guest_layout.h"

namespace snap::test {
namespace {

constexpr std::size_t kBlocks = 40;  // of four pages

/// The stream of a stopped guest with this RAM, as a sample: "pc.ram", "b", the two states and their metadata.
Sample sample_of(const Ram& ram) {
  const StreamImport imported = import_stream(stopped_guest(ram));
  EXPECT_TRUE(imported.ok()) << explain(imported.error);
  Opened opened(imported.file);
  Sample sample;
  sample.options.block_bytes = 1u << 14;
  sample.options.codec = Codec::kLz4;
  sample.metadata = opened->metadata();
  for (const RegionInfo& info : opened->regions()) sample.regions.push_back({info, opened.content(info.kind, info.name), false});
  return sample;
}

Sample worked(Sample sample, std::uint64_t seed, unsigned changes) {
  for (SampleRegion& region : sample.regions) {
    if (region.info.kind == RegionKind::kMemory) region.content = worked_on(region.content, seed++, changes);
  }
  return sample;
}

Sample sized(Sample sample, std::size_t pages) {
  sample.regions[0].content.resize(pages * kPage);
  sample.regions[0].info.size = pages * kPage;
  sample.regions[0].info.placements.clear();
  return sample;
}

Sample base_sample() {
  Ram ram = blank_ram({{"pc.ram", 4 * kBlocks}, {"b", 6}});
  ram[0].content = make_content(Pattern::kMixed, 4 * kBlocks * kPage, 5);
  ram[1].content = make_content(Pattern::kRandom, 6 * kPage, 6);
  return sample_of(ram);
}

/// Which pages of pc.ram a stream has, and whether as zero.
std::map<std::uint64_t, bool> pages_of(const Buffer& stream) {
  std::map<std::uint64_t, bool> pages;
  const auto at_be64 = [&](std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) value = value << 8 | std::to_integer<std::uint64_t>(stream.at(at + i));
    return value;
  };
  const Buffer name = MigrationStream().name("pc.ram").bytes;
  const auto list = std::search(stream.begin(), stream.end(), name.begin(), name.end());
  std::size_t at = static_cast<std::size_t>(list - stream.begin());
  at += (1 + 6 + 8) + (1 + 1 + 8) + (8 + 5) + 5;  // both blocks, the end of START, the head of END
  for (std::string block; (at_be64(at) & 0xfff) != kFlagEos;) {
    const std::uint64_t word = at_be64(at);
    at += 8;
    if ((word & kFlagContinue) == 0) {
      const auto length = std::to_integer<std::size_t>(stream.at(at));
      block.assign(reinterpret_cast<const char*>(&stream.at(at + 1)), length);
      at += 1 + length;
    }
    const bool zero = (word & kFlagZero) != 0;
    EXPECT_TRUE(block != "pc.ram" || pages.emplace(word / kPage, zero).second) << "twice";
    at += zero ? 1 : kPage;
  }
  return pages;
}

/// The stream over what the base has gives the child; a page that is the same in both is only there where its block was written.
void expect_clones(Reader& child, Reader& base) {
  const auto region = child.find(RegionKind::kMemory, "pc.ram");
  ASSERT_TRUE(region);
  const auto stream = export_stream(child, CloneOptions{*region, &base});
  ASSERT_OK(stream);
  Bytes now(child.regions()[*region].size);
  ASSERT_OK(child.read(*region, 0, now));
  Bytes mapped;
  if (const auto below = base.find(RegionKind::kMemory, "pc.ram")) {
    mapped.resize(base.regions()[*below].size);
    ASSERT_OK(base.read(*below, 0, mapped));
  }
  mapped.resize(now.size());
  const auto sent = pages_of(*stream);
  for (std::size_t page = 0; page * kPage < now.size(); ++page) {
    const auto content = std::span(now).subspan(page * kPage, kPage);
    const auto under = std::span(mapped).subspan(page * kPage, kPage);
    const auto found = sent.find(page);
    if (found == sent.end()) {
      EXPECT_TRUE(std::equal(content.begin(), content.end(), under.begin())) << "page " << page << " is missing";
    } else {
      EXPECT_EQ(found->second, std::all_of(content.begin(), content.end(), [](std::byte b) { return b == std::byte{0}; })) << page;
    }
  }
}

TEST(QemuClone, HoldsWhatDiffersFromParentGrandparentOrItself) {
  Chain chain(base_sample());
  chain.add(worked(base_sample(), 7, 9));
  chain.add(worked(worked(base_sample(), 7, 9), 20, 5), false, false);
  Reader& child = chain.last();
  for (std::size_t base = 0; base < 3; ++base) {
    SCOPED_TRACE(base);
    expect_clones(child, chain.reader(base));
  }
  const auto to_itself = export_stream(child, CloneOptions{0, &child});
  ASSERT_OK(to_itself);
  EXPECT_TRUE(pages_of(*to_itself).empty());
  const auto to_parent = export_stream(child, CloneOptions{0, &chain.reader(1)});
  EXPECT_GT(pages_of(*to_parent).size(), 0u);
  EXPECT_LE(pages_of(*to_parent).size(), 6u);
  // The other blocks are there whole: what is not cloned is all sent.
  EXPECT_GT(to_itself->size(), 3 * kPage);
}

TEST(QemuClone, ARegionThatGrowsOrShrinks) {
  for (const auto& sizes : {std::array<std::size_t, 3>{160, 90, 160}, {90, 160, 33}, {90, 33, 160}, {3, 160, 7}, {160, 7, 9}}) {
    SCOPED_TRACE(std::to_string(sizes[0]) + " " + std::to_string(sizes[1]) + " " + std::to_string(sizes[2]));
    const Sample sample = base_sample();
    Chain chain(sized(sample, sizes[0]));
    chain.add(worked(sized(sample, sizes[1]), 3, 4));
    chain.add(worked(sized(sample, sizes[2]), 4, 4));
    for (std::size_t base = 0; base < 3; ++base) expect_clones(chain.last(), chain.reader(base));
  }
}

TEST(QemuClone, AParentWithoutTheRegion) {
  Sample without = base_sample();
  without.regions.erase(without.regions.begin());
  Chain chain(base_sample());
  chain.add(without);
  chain.add(worked(base_sample(), 9, 3));
  for (std::size_t base = 0; base < 3; ++base) expect_clones(chain.last(), chain.reader(base));
}

TEST(QemuClone, RandomChains) {
  const char* given = std::getenv("SNAP_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  SCOPED_TRACE("SNAP_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int run = 0; run < 10; ++run) {
    Sample sample = base_sample();
    Chain chain(sample);
    const std::size_t files = 2 + random.below(4);
    for (std::size_t file = 1; file < files; ++file) {
      if (random.one_in(3)) sample = sized(sample, 4 + random.below(4 * kBlocks));
      sample = worked(sample, random.next(), static_cast<unsigned>(random.below(12)));
      chain.add(sample, random.one_in(2), random.one_in(2));
    }
    for (std::size_t base = 0; base < files; ++base) expect_clones(chain.last(), chain.reader(base));
    if (HasFailure()) return;
  }
}

TEST(QemuClone, WhatCannotBeCloned) {
  Chain chain(base_sample());
  chain.add(worked(base_sample(), 7, 9));
  Chain other(worked(base_sample(), 1, 1));
  const auto refused = [&](const CloneOptions& clone, Code code) {
    const auto done = export_stream(chain.last(), clone);
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, code) << explain(done.error());
  };
  refused({0, &other.last()}, Code::kParentMismatch);
  refused({0, nullptr}, Code::kInvalidArgument);
  refused({99, &chain.last()}, Code::kInvalidArgument);
  refused({*chain.last().find(RegionKind::kState, "qemu.stream.head"), &chain.last()}, Code::kInvalidArgument);
  // From the parent's side the child is no base.
  const auto upside_down = export_stream(chain.reader(0), CloneOptions{0, &chain.last()});
  ASSERT_FALSE(upside_down.has_value());
  EXPECT_EQ(upside_down.error().code, Code::kParentMismatch);
}

TEST(QemuExport, NeedsTheStatesOfAStream) {
  const auto refused = [](Sample sample, Code code, std::string_view cause) {
    const Bytes file = make_file(sample);
    Opened opened(file);
    const auto done = export_stream(*opened);
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, code) << explain(done.error());
    EXPECT_NE(std::string_view(done.error().what).find(cause), std::string_view::npos) << explain(done.error());
  };
  const Sample whole = base_sample();
  for (const char* state : {"qemu.stream.head", "qemu.stream.devices"}) {
    Sample sample = whole;
    std::erase_if(sample.regions, [&](const SampleRegion& region) { return region.info.name == state; });
    refused(sample, Code::kNotFound, "no state of devices");
  }
  for (const char* section : {"", "x", "2x", "4294967296", "-1"}) {
    Sample sample = whole;
    sample.metadata["qemu.ram.section"] = section;
    refused(sample, Code::kNotFound, "no state of devices");
  }
  Sample sample = whole;
  sample.regions[0].content.resize(5000);
  sample.regions[0].info.size = 5000;
  sample.regions[0].info.placements.clear();
  refused(sample, Code::kInvalidArgument, "no RAM block of QEMU");
  sample = whole;
  sample.regions[0].info.name = std::string(256, 'x');
  refused(sample, Code::kInvalidArgument, "no RAM block of QEMU");
  sample = whole;
  for (SampleRegion& region : sample.regions) {
    if (region.info.name == "qemu.stream.head") region.content.push_back(std::byte{0}), ++region.info.size;
  }
  refused(sample, Code::kCorrupt, "behind the head");
}

// ---- Where guests see their RAM ----

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kPart = 128 * kMiB;

std::string layout(std::string_view machine, std::uint64_t ram, bool vga = false) {
  std::string text;
  for (const Placement& one : guest_layout(machine, ram, vga)) {
    char part[80];
    std::snprintf(part, sizeof part, "%s%llx=%llx+%llx", text.empty() ? "" : " ", static_cast<unsigned long long>(one.guest_address),
                  static_cast<unsigned long long>(one.offset), static_cast<unsigned long long>(one.length));
    text += part;
  }
  return text;
}

TEST(GuestLayout, BelowTheSplitAllIsOnePart) {
  for (const char* machine : {"pc", "pc-i440fx-7.2", "q35", "pc-q35-9.1", "microvm", "isapc", "pc-1.0"}) {
    EXPECT_EQ(layout(machine, kPart), "0=0+8000000") << machine;
  }
  EXPECT_EQ(layout("pc", 0xe0000000 - kPart), "0=0+d8000000");
  EXPECT_EQ(layout("q35", 0xb0000000 - kPart), "0=0+a8000000");
  EXPECT_EQ(layout("microvm", 0xc0000000), "0=0+c0000000");
}

TEST(GuestLayout, FromTheSplitOnTheRestIsAt4GiB) {
  EXPECT_EQ(layout("pc", 0xe0000000), "0=0+c0000000 100000000=c0000000+20000000");
  EXPECT_EQ(layout("pc-i440fx-2.0", 8 * kGiB), "0=0+c0000000 100000000=c0000000+140000000");
  EXPECT_EQ(layout("pc-i440fx-1.7", 0xe0000000), "0=0+e0000000");
  EXPECT_EQ(layout("pc-i440fx-1.4", 4 * kGiB), "0=0+e0000000 100000000=e0000000+20000000");
  EXPECT_EQ(layout("pc-0.12", 4 * kGiB), "0=0+e0000000 100000000=e0000000+20000000");
  EXPECT_EQ(layout("q35", 0xb0000000), "0=0+80000000 100000000=80000000+30000000");
  EXPECT_EQ(layout("pc-q35-7.2", 4 * kGiB), "0=0+80000000 100000000=80000000+80000000");
  EXPECT_EQ(layout("microvm", 4 * kGiB), "0=0+c0000000 100000000=c0000000+40000000");
}

TEST(GuestLayout, TheWindowOfAVgaHidesRam) {
  EXPECT_EQ(layout("pc", kPart, true), "0=0+a0000 c0000=c0000+7f40000");
  EXPECT_EQ(layout("q35", 3 * kGiB, true), "0=0+a0000 c0000=c0000+7ff40000 100000000=80000000+40000000");
  EXPECT_EQ(layout("microvm", kPart, true), "0=0+8000000");
  EXPECT_EQ(layout("virt", kPart, true), "40000000=0+8000000");
  EXPECT_EQ(layout("pc", 0xb0000, true), "0=0+a0000") << "RAM that ends in the window";
  EXPECT_EQ(layout("pc", 4096, true), "0=0+1000");
}

TEST(GuestLayout, OtherArchitecturesAndWhatIsNotKnown) {
  EXPECT_EQ(layout("virt-7.2", 300 * kGiB), "40000000=0+4b00000000");
  for (const char* machine : {"", "pc-", "pcx", "q35x", "xenfv", "none", "pseries", "microvm-1"}) {
    EXPECT_EQ(layout(machine, kPart), "") << machine;
    EXPECT_FALSE(knows_machine(machine)) << machine;
  }
}

TEST(GuestLayout, IsThatOfTheMainBlockAndTheMachineGiven) {
  const auto placements = [](const Ram& ram, const char* machine = "") {
    ImportOptions options;
    options.machine = machine;
    const StreamImport imported = import_stream(stopped_guest(ram), {}, options);
    EXPECT_TRUE(imported.ok()) << explain(imported.error);
    Opened opened(imported.file);
    std::string text;
    for (const RegionInfo& info : opened->regions()) {
      for (const Placement& one : info.placements) text += info.name + "@" + std::to_string(one.guest_address) + "+" + std::to_string(one.length) + " ";
    }
    return text;
  };
  EXPECT_EQ(placements(blank_ram({{"big", 9}, {"pc.ram", 5}})), "pc.ram@0+20480 ");
  EXPECT_EQ(placements(blank_ram({{"small", 3}, {"mem0", 9}, {"rom", 9}})), "mem0@0+36864 ") << "a backend's name";
  EXPECT_EQ(placements(blank_ram({{"pc.ram", 300}})), "pc.ram@0+1228800 ");
  EXPECT_EQ(placements(blank_ram({{"pc.ram", 300}, {"0000:00:02.0/vga.vram", 4}})), "pc.ram@0+655360 pc.ram@786432+442368 ");
  EXPECT_EQ(placements(blank_ram({{"pc.ram", 5}}), "virt"), "pc.ram@1073741824+20480 ");
}

}  // namespace
}  // namespace snap::test
