// SPDX-License-Identifier: Apache-2.0
// ELF cores in, from a file and through a pipe, and out.
#include <sys/stat.h>

#include "support/elf_builder.h"
#include "support/elf_cores.h"

namespace snap::test {
namespace {

void expect_refused(const Buffer& core, Code code, std::string_view cause) {
  for (const By by : kWays) {
    const Import import = import_core(core, by);
    EXPECT_EQ(import.error.code, code) << import.error.what;
    EXPECT_NE(std::string_view(import.error.what).find(cause), std::string_view::npos) << import.error.what;
  }
}

/// As QEMU writes one: notes behind the tables, then the memory, at no round place.
CoreBuilder qemu_like(bool wide) {
  CoreBuilder core;
  core.wide = wide;
  core.machine = wide ? 62 : 3;
  const Buffer notes = noise(37, 1);
  const std::size_t end = core.header_bytes() + 3 * core.entry_bytes() + 5;
  core.add({.type = 4, .at = end}, notes);
  core.add({.address = 0, .at = end + 40}, noise(3 * 4096, 2));
  core.add({.address = 0xfffc0000, .memory_bytes = 2 * 4096, .at = end + 40 + 3 * 4096}, noise(4096, 3));
  core.put_bytes(core.bytes.size(), noise(11, 4));  // names of sections
  return core;
}

TEST(ElfImport, TakesMemoryAndNotesOfACore) {
  for (const bool wide : {true, false}) {
    for (const By by : kWays) {
      const Import import = import_core(qemu_like(wide).build(), by);
      ASSERT_TRUE(import.ok()) << explain(import.error);
      Buffer memory = noise(3 * 4096, 2);
      const Buffer high = noise(4096, 3);
      memory.insert(memory.end(), high.begin(), high.end());
      memory.resize(5 * 4096);
      EXPECT_TRUE(import.snapshot.bytes("ram") == memory);
      const std::vector<Placement> placements = {{0, 0, 3 * 4096}, {0xfffc0000, 3 * 4096, 2 * 4096}};
      EXPECT_EQ(import.snapshot.find("ram")->info.placements, placements);
      EXPECT_TRUE(import.snapshot.bytes("elf.notes") == noise(37, 1));
      EXPECT_EQ(import.snapshot.metadata.at("source.format"), "elf");
      EXPECT_EQ(import.snapshot.metadata.at("elf.class"), wide ? "64" : "32");
      EXPECT_EQ(import.snapshot.metadata.at("elf.machine"), wide ? "62" : "3");
    }
  }
}

TEST(ElfImport, KeepsThePagesOfTheGuestApart) {
  CoreBuilder core;
  core.add({.address = 0x1000, .at = 1000}, noise(0x9ec00, 1));               // up to 0x9fc00
  core.add({.address = 0x9fc00, .at = 1000 + 0x9ec00}, noise(100, 2));        // goes on in the page
  core.add({.address = 0x100123, .at = 1000 + 0x9ec00 + 200}, noise(50, 3));  // in the middle of another
  for (const By by : kWays) {
    const Import import = import_core(core.build(), by);
    ASSERT_TRUE(import.ok()) << explain(import.error);
    // The first two lie together in the file as well: one stretch.
    const std::vector<Placement> placements = {{0x1000, 0, 0x9ec00 + 100}, {0x100123, 0x9f123, 50}};
    EXPECT_EQ(import.snapshot.find("ram")->info.placements, placements);
    const Buffer memory = import.snapshot.bytes("ram");
    ASSERT_EQ(memory.size(), 0x9f123u + 50);
    const Buffer last = noise(50, 3);
    EXPECT_TRUE(std::equal(last.begin(), last.end(), memory.begin() + 0x9f123));
  }
}

TEST(ElfImport, CountsSegmentsWhereTheHeaderCannot) {
  CoreBuilder core;
  core.count_elsewhere = true;
  constexpr std::size_t kSegments = 300;
  for (std::size_t i = 0; i < kSegments; ++i) core.add({.address = i * 0x10000, .at = 20000 + i * 16}, noise(16, static_cast<unsigned>(i)));
  for (const By by : kWays) {
    const Import import = import_core(core.build(), by);
    ASSERT_TRUE(import.ok()) << explain(import.error);
    ASSERT_EQ(import.snapshot.regions.size(), 5u);  // of 64 each
    EXPECT_EQ(import.snapshot.regions[4].info.name, "ram.4");
    EXPECT_EQ(import.snapshot.regions[4].info.placements.size(), kSegments - 256);
    EXPECT_EQ(import.snapshot.regions[1].info.placements[0].guest_address, 64u * 0x10000);
  }
}

TEST(ElfImport, ShowsMemoryOnceThatIsMappedOften) {
  // As with paging: the same bytes of the file at many virtual addresses, in no order, and one mapping past a block's end.
  CoreBuilder core;
  const std::size_t at = 1003;
  core.put_bytes(at, noise(8 * 4096, 1));
  const auto map = [&](std::uint64_t page, std::uint64_t pages, std::uint64_t more) {
    core.segments.push_back({.address = 0x100000 + page * 4096, .memory_bytes = (pages + more) * 4096, .file_bytes = pages * 4096,
                             .at = at + page * 4096, .virtual_address = 0xffff000000000000 + core.segments.size() * 0x100000});
  };
  map(4, 4, 1);
  map(0, 2, 0);
  map(1, 3, 0);
  map(0, 2, 0);
  for (const By by : kWays) {
    const Import import = import_core(core.build(), by);
    ASSERT_TRUE(import.ok()) << explain(import.error);
    const std::vector<Placement> placements = {{0x100000, 0, 9 * 4096}};
    EXPECT_EQ(import.snapshot.find("ram")->info.placements, placements);
    Buffer memory = noise(8 * 4096, 1);
    memory.resize(9 * 4096);
    EXPECT_TRUE(import.snapshot.bytes("ram") == memory);
  }
}

TEST(ElfImport, DropsWhatAnotherSegmentShowsAsWell) {  // the kernel's image at its virtual addresses, as in what we write
  const Buffer bytes = noise(8 * 4096, 1);
  const CoreSegment memory{.address = 0x100000, .memory_bytes = 8 * 4096, .file_bytes = 8 * 4096, .at = 1000, .virtual_address = 0x100000};
  const CoreSegment image{.address = 0x102000, .memory_bytes = 3 * 4096, .file_bytes = 3 * 4096, .at = 1000 + 2 * 4096, .virtual_address = 0xffffffff81000000};
  CoreSegment front = image;
  front.address = memory.address;
  front.at = memory.at;
  const std::vector<CoreSegment> orders[] = {{memory, image}, {image, memory}, {front, memory}, {image, memory, front}};
  for (const std::vector<CoreSegment>& segments : orders) {
    CoreBuilder core;
    core.put_bytes(1000, bytes);
    core.segments = segments;
    for (const By by : kWays) {
      const Import import = import_core(core.build(), by);
      ASSERT_TRUE(import.ok()) << explain(import.error);
      const std::vector<Placement> placements = {{0x100000, 0, 8 * 4096}};
      EXPECT_EQ(import.snapshot.find("ram")->info.placements, placements);
      EXPECT_TRUE(import.snapshot.bytes("ram") == bytes);
    }
  }
  // No physical address that is not 0: a guest's nevertheless.
  CoreBuilder low;
  low.put_bytes(1000, bytes);
  low.segments = {memory, front};
  for (CoreSegment& segment : low.segments) segment.address = 0;
  for (const By by : kWays) {
    const Import import = import_core(low.build(), by);
    ASSERT_TRUE(import.ok()) << explain(import.error);
    EXPECT_TRUE(import.snapshot.bytes("ram") == bytes);
  }
  // Also where a third one shows some of the bytes elsewhere; that takes reading them again.
  CoreBuilder core;
  core.put_bytes(1000, bytes);
  core.segments = {memory, {.address = 0x900000, .memory_bytes = 4096, .file_bytes = 4096, .at = 1000 + 4096}, image};
  const Import import = import_core(core.build(), By::kFile);
  ASSERT_TRUE(import.ok()) << explain(import.error);
  const std::vector<Placement> placements = {{0x100000, 0, 8 * 4096}, {0x900000, 8 * 4096, 4096}};
  EXPECT_EQ(import.snapshot.find("ram")->info.placements, placements);
}

TEST(ElfImport, ReadsSharedBytesTwiceFromAFileOnly) {
  CoreBuilder core;
  core.add({.address = 0, .at = 1000}, noise(4096, 1));
  core.add({.address = 0x100000, .at = 1000}, noise(4096, 1));
  const Import import = import_core(core.build(), By::kFile);
  ASSERT_TRUE(import.ok()) << explain(import.error);
  EXPECT_EQ(import.snapshot.find("ram")->info.placements.size(), 2u);
  const Import refused = import_core(core.build(), By::kPipe);
  EXPECT_EQ(refused.error.code, Code::kUnsupported);
  EXPECT_NE(std::string_view(refused.error.what).find("share bytes"), std::string_view::npos);
}

TEST(ElfImport, KeepsTwoStretchesOfOneAddress) {  // the kernel's text in /proc/vmcore
  CoreBuilder core;
  core.add({.address = 0x1000000, .at = 1000}, noise(4096, 1));
  core.add({.address = 0x1000000, .at = 1000 + 4096}, noise(4096, 1));
  for (const By by : kWays) {
    const Import import = import_core(core.build(), by);
    ASSERT_TRUE(import.ok()) << explain(import.error);
    const std::vector<Placement> placements = {{0x1000000, 0, 4096}, {0x1000000, 4096, 4096}};
    EXPECT_EQ(import.snapshot.find("ram")->info.placements, placements);
  }
}

TEST(ElfImport, TakesNotesBehindAndBetween) {
  CoreBuilder core;
  core.add({.address = 0, .at = 1000}, noise(4096, 1));
  core.add({.type = 4, .at = 6000}, noise(10, 2));
  core.add({.address = 0x100000, .at = 7000}, noise(4096, 3));
  core.add({.type = 4, .at = 12000}, noise(8, 4));
  Buffer notes = noise(10, 2);
  notes.resize(12);
  const Buffer more = noise(8, 4);
  notes.insert(notes.end(), more.begin(), more.end());
  for (const By by : kWays) {
    const Import import = import_core(core.build(), by);
    ASSERT_TRUE(import.ok()) << explain(import.error);
    EXPECT_TRUE(import.snapshot.bytes("elf.notes") == notes);
  }
}

TEST(ElfImport, RefusesTablesBehindTheMemoryFromAPipe) {
  CoreBuilder core = qemu_like(true);
  Buffer bytes = core.build();
  for (std::size_t i = 0; i < 8; ++i) bytes[32 + i] = i == 4 ? std::byte{1} : std::byte{0};  // e_phoff: 4 GiB
  EXPECT_EQ(import_core(bytes, By::kPipe).error.code, Code::kUnsupported);
  EXPECT_EQ(import_core(bytes, By::kFile).error.code, Code::kTruncated);
}

TEST(ElfImport, RefusesACoreCutAnywhere) {
  for (const bool wide : {true, false}) {
    CoreBuilder builder;
    builder.wide = wide;
    builder.count_elsewhere = true;
    builder.add({.type = 4, .at = 300}, noise(20, 1));
    builder.add({.address = 0, .at = 333}, noise(300, 2));
    builder.add({.address = 0x10000, .at = 700}, noise(100, 3));
    const Buffer core = builder.build();
    for (const By by : kWays) ASSERT_TRUE(import_core(core, by).ok());
    for (std::size_t size = 0; size < core.size(); ++size) {
      for (const By by : kWays) {
        const Import import = import_core(Buffer(core.begin(), core.begin() + static_cast<std::ptrdiff_t>(size)), by);
        ASSERT_EQ(import.error.code, Code::kTruncated) << size << ": " << explain(import.error);
        ASSERT_LE(import.error.file_offset, size);
      }
    }
  }
}

TEST(ElfImport, RefusesWhatIsNoCoreOfAGuest) {
  CoreBuilder core = qemu_like(true);
  core.type = 2;
  expect_refused(core.build(), Code::kUnsupported, "no core");
  core = qemu_like(true);
  core.data = 2;
  expect_refused(core.build(), Code::kUnsupported, "little-endian");
  Buffer bytes = qemu_like(true).build();
  bytes[4] = std::byte{3};
  expect_refused(bytes, Code::kCorrupt, "unknown class");
  bytes[1] = std::byte{0};
  expect_refused(bytes, Code::kCorrupt, "not an ELF file");
  core = qemu_like(true);
  core.segments.resize(1);
  expect_refused(core.build(), Code::kNotFound, "no memory");
  core = qemu_like(true);
  core.segments[2].address = 0;
  expect_refused(core.build(), Code::kUnsupported, "of a process");
}

TEST(ElfImport, RefusesHostileNumbers) {
  const auto with = [](std::size_t segment, auto change) {
    CoreBuilder core = qemu_like(true);
    change(core.segments[segment]);
    return core.build();
  };
  constexpr std::uint64_t kHuge = ~std::uint64_t{0} - 100;
  expect_refused(with(1, [](CoreSegment& s) { s.at = kHuge; }), Code::kCorrupt, "past the end of all files");
  expect_refused(with(1, [](CoreSegment& s) { s.memory_bytes = 1; }), Code::kCorrupt, "more bytes in the file");
  expect_refused(with(1, [](CoreSegment& s) { s.address = kHuge; }), Code::kCorrupt, "past the end of all addresses");
  expect_refused(with(1, [](CoreSegment& s) { s.memory_bytes = std::uint64_t{1} << 60; }), Code::kLimit, "8 TiB");
  expect_refused(with(2, [](CoreSegment& s) { s.file_bytes = s.memory_bytes = std::uint64_t{1} << 42; }), Code::kTruncated, "ends early");
  expect_refused(with(0, [](CoreSegment& s) { s.file_bytes = std::uint64_t{1} << 40; }), Code::kLimit, "64 MiB");
  CoreBuilder core = qemu_like(true);
  core.segment_bytes = 57;
  expect_refused(core.build(), Code::kCorrupt, "program headers of an illegal size");
  core = qemu_like(true);
  core.counted = 0xfffe;
  const Import many = import_core(core.build(), By::kPipe);
  EXPECT_NE(many.error.code, Code::kOk);
  CoreBuilder counting;
  counting.count_elsewhere = true;
  counting.add({.address = 0, .at = 1000}, noise(100, 1));
  counting.counted = 0xffffffff;
  expect_refused(counting.build(), Code::kLimit, "more segments");
  counting.counted = 1u << 20;
  expect_refused(counting.build(), Code::kTruncated, "ends early");
  Buffer nowhere = counting.build();
  nowhere[40] = std::byte{0};  // e_shoff
  expect_refused(nowhere, Code::kCorrupt, "number of its segments");
  Buffer far = qemu_like(true).build();
  for (std::size_t i = 0; i < 8; ++i) far[32 + i] = std::byte{0xff};
  expect_refused(far, Code::kCorrupt, "past the end of all addresses");
}

TEST(ElfImport, StopsWhenCancelled) {
  const std::atomic<bool> cancel = true;
  ImportOptions options;
  options.cancel = &cancel;
  const Buffer core = qemu_like(true).build();
  const auto source = memory_source(core);
  const auto pipe = range_stream(*source, 0, core.size());
  MemorySnapshot snapshot;
  MemoryWriter writer(snapshot);
  EXPECT_EQ(import_elf(*source, writer, options).error().code, Code::kCancelled);
  MemorySnapshot other;
  MemoryWriter other_writer(other);
  EXPECT_EQ(import_elf_stream(*pipe, other_writer, options).error().code, Code::kCancelled);
}

// ---- Out ----

TEST(ElfExport, GivesBackWhatCameIn) {
  for (const bool wide : {true, false}) {
    const Buffer core = qemu_like(wide).build();
    Import import = import_core(core, By::kFile);
    ASSERT_TRUE(import.ok());
    MemoryReader reader(import.snapshot);
    Buffer first;
    for (const By by : kWays) {
      const auto exported = export_core(reader, by);
      ASSERT_OK(exported);
      EXPECT_EQ(exported->at(4), wide ? std::byte{2} : std::byte{1});
      EXPECT_EQ(number(*exported, 18, 2), wide ? 62u : 3u);
      const ParsedCore parsed(*exported);
      EXPECT_TRUE(parsed.notes == noise(37, 1));
      ASSERT_EQ(parsed.memory.size(), 2u);
      EXPECT_TRUE(parsed.memory[0].content == noise(3 * 4096, 2));
      EXPECT_EQ(parsed.memory[1].address, 0xfffc0000u);
      EXPECT_EQ(parsed.memory[1].content.size(), 2u * 4096);
      for (const By again : kWays) {
        const Import second = import_core(*exported, again);
        ASSERT_TRUE(second.ok()) << explain(second.error);
        EXPECT_TRUE(second.snapshot.bytes("ram") == import.snapshot.bytes("ram"));
        EXPECT_EQ(second.snapshot.find("ram")->info.placements, import.snapshot.find("ram")->info.placements);
      }
      if (first.empty()) first = *exported;
      EXPECT_TRUE(first == *exported);
    }
  }
}

TEST(ElfExport, ShowsPlacedMemoryByAddress) {
  MemorySnapshot snapshot;
  const Buffer ram = noise(8 * 4096, 1);
  const Buffer card = noise(2 * 4096, 2);
  add_region(snapshot, RegionKind::kMemory, "pc.ram", ram, {{0x100000000, 0, 4096}, {0, 4096, 4096}, {0x3000, 4 * 4096, 4 * 4096}});
  add_region(snapshot, RegionKind::kMemory, "somewhere", noise(4096, 3));
  add_region(snapshot, RegionKind::kMemory, "card", card, {{0xe0000000, 0, 2 * 4096}});
  MemoryReader reader(snapshot);
  const auto exported = export_core(reader, By::kPipe);
  ASSERT_OK(exported);
  const ParsedCore core(*exported);
  ASSERT_EQ(core.memory.size(), 4u);
  const std::uint64_t addresses[] = {0, 0x3000, 0xe0000000, 0x100000000};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(core.memory[i].address, addresses[i]);
    EXPECT_EQ(core.memory[i].virtual_address, addresses[i]);
  }
  EXPECT_TRUE(core.memory[1].content == Buffer(ram.begin() + 4 * 4096, ram.end()));
  EXPECT_TRUE(core.memory[2].content == card);
}

TEST(ElfExport, PlacesMemoryByTheMachine) {
  MemorySnapshot snapshot;
  const Buffer ram = noise(0xd0000, 1);
  add_region(snapshot, RegionKind::kMemory, "ram", ram);
  MemoryReader reader(snapshot);
  const auto at_zero = export_core(reader, By::kPipe);
  ASSERT_OK(at_zero);
  EXPECT_EQ(ParsedCore(*at_zero).memory.at(0).address, 0u);
  EXPECT_EQ(number(*at_zero, 18, 2), 62u);
  ExportOptions options;
  options.machine = "virt";
  const auto arm = export_core(reader, By::kPipe, options);
  ASSERT_OK(arm);
  EXPECT_EQ(ParsedCore(*arm).memory.at(0).address, 0x40000000u);
  EXPECT_EQ(number(*arm, 18, 2), 183u);
  add_region(snapshot, RegionKind::kMemory, "0000:00:02.0/vga.vram", noise(4096, 2));
  MemoryReader with_vga(snapshot);
  options.machine = "pc";
  const auto pc = export_core(with_vga, By::kPipe, options);
  ASSERT_OK(pc);
  const ParsedCore core(*pc);
  ASSERT_EQ(core.memory.size(), 2u);  // around the VGA window
  EXPECT_EQ(core.memory[1].address, 0xc0000u);
  options.machine = "toaster";
  EXPECT_EQ(export_core(reader, By::kPipe, options).error().code, Code::kInvalidArgument);
}

TEST(ElfExport, FindsWhatLinuxLeavesForDumps) {
  constexpr std::string_view kText = "OSRELEASE=6.1.0\nBUILD-ID=00\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff82a12d40\n";
  const auto page_of = [](std::string_view text) {
    Buffer page(4096);
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), page.begin());
    return page;
  };
  const auto memory = [&](std::initializer_list<std::string_view> texts) {
    Buffer bytes = noise(4096, 1);
    for (const std::string_view text : texts) {
      const Buffer page = page_of(text);
      bytes.insert(bytes.end(), page.begin(), page.end());
    }
    return bytes;
  };
  MemorySnapshot snapshot;
  add_region(snapshot, RegionKind::kMemory, "ram", memory({"OSRELEASE=no\n", "OSRELEASE=\x01\nPAGESIZE=1\nSYMBOL(a)=1\n", kText}));
  MemoryReader reader(snapshot);
  const auto exported = export_core(reader, By::kPipe);
  ASSERT_OK(exported);
  const Buffer notes = ParsedCore(*exported).notes;
  EXPECT_EQ(number(notes, 0, 4), 5u);
  EXPECT_EQ(number(notes, 4, 4), 336u);
  EXPECT_EQ(number(notes, 8, 4), 1u);  // NT_PRSTATUS
  const std::size_t second = 12 + 8 + 336;
  ASSERT_EQ(notes.size(), second + 12 + 12 + (kText.size() + 3) / 4 * 4);
  EXPECT_EQ(number(notes, second, 4), 11u);
  EXPECT_EQ(number(notes, second + 4, 4), kText.size());
  EXPECT_EQ(number(notes, second + 8, 4), 0u);
  const std::string_view rest(reinterpret_cast<const char*>(notes.data()) + second + 12, 12 + kText.size());
  EXPECT_EQ(rest.substr(0, 12), std::string_view("VMCOREINFO\0\0", 12));
  EXPECT_EQ(rest.substr(12), kText);

  MemorySnapshot without;
  add_region(without, RegionKind::kMemory, "ram", memory({"OSRELEASE=no\n"}));
  MemoryReader plain(without);
  const auto bare = export_core(plain, By::kPipe);
  ASSERT_OK(bare);
  EXPECT_EQ(ParsedCore(*bare).notes.size(), second);
}

TEST(ElfExport, LooksForItPastMuchThatIsZero) {
  constexpr std::uint64_t kSize = std::uint64_t{1} << 40;
  Buffer file;
  const auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  constexpr std::string_view kText = "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(a)=1\n";
  Buffer last(4096);
  std::copy_n(reinterpret_cast<const std::byte*>(kText.data()), kText.size(), last.begin());
  ASSERT_OK((*writer)->begin_region({RegionKind::kMemory, "ram", kSize, 12, {}}));
  ASSERT_OK((*writer)->write(noise(4096, 1)));
  ASSERT_OK((*writer)->skip(kSize - 2 * 4096));
  ASSERT_OK((*writer)->write(last));
  ASSERT_OK((*writer)->end_region());
  ASSERT_OK((*writer)->finish());
  const auto source = memory_source(file);
  const auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  // Into nowhere after the tables: what is asked is whether the search ends soon.
  class Front final : public ByteSink {
   public:
    Result<void> write(std::span<const std::byte> bytes) override {
      front.insert(front.end(), bytes.begin(), bytes.end());
      return Error{.code = Code::kCancelled, .what = "enough"};
    }
    Buffer front;
  } front;
  EXPECT_EQ(export_elf(**reader, front, {}).error().code, Code::kCancelled);
  const std::string_view text(reinterpret_cast<const char*>(front.front.data()), front.front.size());
  EXPECT_NE(text.find(kText), std::string_view::npos);
}

TEST(ElfExport, LeavesHolesForZeros) {
  MemorySnapshot snapshot;
  Buffer ram(16u << 20);
  ram[9u << 20] = std::byte{1};
  add_region(snapshot, RegionKind::kMemory, "ram", ram);
  MemoryReader reader(snapshot);
  const TemporaryFile file;
  ExportOptions options;
  options.target_is_zero = true;
  ASSERT_OK(export_elf_to_file(reader, file.fd(), options));
  struct stat status {};
  ASSERT_EQ(::fstat(file.fd(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  EXPECT_TRUE(ParsedCore(file.bytes()).memory.at(0).content == ram);
}

TEST(ElfExport, CountsMoreSegmentsThanTheHeaderCan) {
  MemorySnapshot snapshot;
  constexpr std::size_t kRegions = 1100;
  for (std::size_t i = 0; i < kRegions; ++i) {
    std::vector<Placement> placements;
    for (std::size_t j = 0; j < 64; ++j) placements.push_back({(i * 64 + j) * 0x10000 + j * 16, j * 16, 16});
    add_region(snapshot, RegionKind::kMemory, "r" + std::to_string(i), noise(1024, static_cast<unsigned>(i)), std::move(placements));
  }
  MemoryReader reader(snapshot);
  const auto exported = export_core(reader, By::kPipe);
  ASSERT_OK(exported);
  EXPECT_EQ(number(*exported, 56, 2), 0xffffu);
  EXPECT_EQ(number(*exported, 64 + 44, 4), kRegions * 64 + 1);
  const Import import = import_core(*exported, By::kPipe);
  ASSERT_TRUE(import.ok()) << explain(import.error);
  EXPECT_EQ(import.snapshot.regions.size(), kRegions + 1);  // and the notes
}

TEST(ElfExport, RefusesASnapshotWithoutPlacedMemory) {
  MemorySnapshot snapshot;
  add_region(snapshot, RegionKind::kState, "state", noise(10, 1));
  MemoryReader reader(snapshot);
  EXPECT_EQ(export_core(reader, By::kPipe).error().code, Code::kNotFound);
  ExportOptions options;
  options.machine = "pc";
  EXPECT_EQ(export_core(reader, By::kPipe, options).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace snap::test
