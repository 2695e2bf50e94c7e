// SPDX-License-Identifier: Apache-2.0
// Migration streams of today's QEMU: every kind of record, pages that come again, and what is kept beside the RAM.
#include <random>

#include "support/qcow2_builder.h"
#include "support/stream_import.h"

namespace snap::test {
namespace {

Ram small_ram() {
  Ram ram = blank_ram({{"pc.ram", 40}, {"vga.vram", 9}, {"/rom@etc/acpi/tables", 2}});
  for (std::size_t block = 0; block < ram.size(); ++block) {
    for (std::size_t page = 0; page < ram[block].content.size() / 4096; ++page) {
      const Buffer content = page_like(page % 4 == 1 ? 0 : static_cast<unsigned>(100 * block + page % 30 + 1));
      std::copy(content.begin(), content.end(), ram[block].content.begin() + static_cast<std::ptrdiff_t>(page * 4096));
    }
  }
  return ram;
}

/// A head, the list of blank blocks, and an open PART; finish() ends it.
ModelledGuest begun(std::initializer_list<std::pair<const char*, std::size_t>> blocks = {{"pc.ram", 24}, {"vga.vram", 8}}) {
  ModelledGuest guest(blank_ram(blocks));
  guest.stream.head().start_ram(guest.ram).part();
  return guest;
}
const Buffer& finished(ModelledGuest& guest) { return guest.stream.eos().part(3).eos().tail().bytes; }

TEST(QemuStream, AStoppedGuestIsTakenInOnePass) { expect_imports(stopped_guest(small_ram()), small_ram(), false); }

TEST(QemuStream, EachRecordKindGivesItsPage) {
  ModelledGuest guest = begun();
  guest.page(0, 0, page_like(1));
  guest.compressed(0, 1, page_like(2));
  guest.fill(0, 2, 0);
  guest.fill(0, 3, 0x5a);
  guest.stream.number(kFlagMultifdFlush, 8);
  guest.fill(0, 4, 0);
  guest.delta(0, 4, page_like(4));  // over a zero page whose place is still ahead
  guest.compressed(1, 7, Buffer(4096));
  expect_imports(finished(guest), guest.ram, false);
}

TEST(QemuStream, BlocksMayBeNamedAgainAndGoOnInTheNextPart) {
  for (const bool continues : {true, false}) {
    ModelledGuest guest = begun();
    guest.stream.continues = continues;
    guest.page(0, 1, page_like(1));
    guest.stream.eos().part();
    guest.page(0, 2, page_like(2));
    guest.stream.eos().part(3);
    guest.page(1, 2, page_like(3));
    expect_imports(finished(guest), guest.ram, false);
  }
}

TEST(QemuStream, TheLastOfARepeatedPageCounts) {
  ModelledGuest guest = begun();
  for (std::size_t page = 0; page < 24; ++page) guest.page(0, page, page_like(static_cast<unsigned>(page + 1)));
  guest.page(1, 3, page_like(77));
  guest.page(0, 5, page_like(78));    // another block's turn is over
  guest.page(1, 3, page_like(79));    // twice in a row
  guest.fill(0, 6, 0);                // becomes zero
  guest.fill(0, 7, 0xff);
  guest.page(0, 6, page_like(80));    // and is written once more
  guest.fill(0, 8, 0);
  guest.fill(1, 3, 0);
  expect_imports(finished(guest), guest.ram, true);
}

TEST(QemuStream, PagesMayComeBackwards) {
  ModelledGuest guest = begun();
  for (std::size_t page = 24; page-- > 0;) guest.page(0, page, page_like(static_cast<unsigned>(page % 5)));
  for (std::size_t page = 8; page-- > 0;) guest.page(1, page, page_like(static_cast<unsigned>(page)));
  expect_imports(finished(guest), guest.ram, true);
}

TEST(QemuStream, DifferencesGoOverWhateverThePageWas) {
  ModelledGuest guest = begun();
  const auto touched = [&](std::size_t page, std::size_t at) {
    Buffer content = guest.at(0, page);
    content[at] ^= std::byte{0x11};
    content[at + 1] = std::byte{0};
    return content;
  };
  for (std::size_t page = 0; page < 10; ++page) guest.page(0, page, page_like(static_cast<unsigned>(page + 1)));
  guest.fill(0, 10, 0);
  guest.page(0, 11, page_like(12));
  // Over pages that are written and not at hand; several over one, of the same bytes and of others.
  guest.delta(0, 1, touched(1, 100));
  guest.delta(0, 1, touched(1, 4000));
  guest.delta(0, 1, touched(1, 100));
  guest.delta(0, 9, Buffer(4096));
  guest.delta(0, 3, page_like(100));
  // Over a late page that is there in full, and one that was known in part before.
  guest.page(0, 4, page_like(50));
  guest.delta(0, 4, touched(4, 7));
  guest.delta(0, 5, touched(5, 7));
  guest.page(0, 5, page_like(51));
  guest.delta(0, 5, touched(5, 4094));
  // Over zero pages: passed by, late, and late after a difference.
  guest.delta(0, 10, touched(10, 2000));
  guest.fill(0, 6, 0);
  guest.delta(0, 6, touched(6, 3));
  guest.delta(0, 7, touched(7, 3));
  guest.fill(0, 7, 0);
  guest.delta(0, 7, page_like(52));
  guest.delta(0, 8, guest.at(0, 8));  // no difference at all
  expect_imports(finished(guest), guest.ram, true);
}

TEST(QemuStream, SnapshotsInTheBackgroundHaveNoEnd) {
  ModelledGuest guest = begun();
  guest.page(0, 20, page_like(1));
  guest.page(0, 3, page_like(2));
  guest.page(1, 1, page_like(3));
  guest.stream.eos().tail();
  expect_imports(guest.stream.bytes, guest.ram, true);
}

TEST(QemuStream, MachinesWithoutFootersOrConfiguration) {
  const Ram ram = small_ram();
  const Buffer bytes = stopped_guest(ram, "");
  EXPECT_EQ(detect_format(bytes), Format::kQemu);
  const StreamImport imported = import_stream(bytes);
  ASSERT_TRUE(imported.ok()) << explain(imported.error);
  expect_ram(imported.file, ram);
  Opened opened(imported.file);
  EXPECT_EQ(opened.metadata("machine"), "-");
  EXPECT_EQ(opened.content(RegionKind::kState, "qemu.stream.head").size(), 8u);
  const auto exported = export_stream(*opened);
  ASSERT_OK(exported);
  expect_imports(*exported, ram, false);
  EXPECT_EQ(std::count(exported->begin(), exported->end(), std::byte{0x7e}), std::count(bytes.begin(), bytes.end(), std::byte{0x7e}));
}

TEST(QemuStream, CommandsAndEmptyBitmapsArePassedOver) {
  const Ram ram = small_ram();
  MigrationStream stream;
  stream.head().command(3, Buffer(16)).command(2, Buffer(4));
  stream.begin(1, 1, "dirty-bitmap", 1).number(1, 1).footer(1);
  stream.start_ram(ram);
  stream.number(2, 1).number(1, 4).number(1, 1).footer(1).part();
  put_pages(stream, ram).eos().command(11).part(3).eos().tail();
  expect_imports(stream.bytes, ram, false);
}

TEST(QemuStream, HeadDevicesAndWhatIsKnownOfThemAreKept) {
  const Ram ram = small_ram();
  MigrationStream stream;
  stream.ram_id = 3;
  Buffer bits;
  put_be(bits, 12, 4);
  stream.head("pc-q35-9.1").capabilities({"validate-uuid", "events"}).subsection("configuration/target-page-bits", bits);
  stream.subsection("configuration/uuid", Buffer(16, std::byte{7}));
  const std::size_t head_bytes = stream.size();
  stream.start_ram(ram).part(3);
  put_pages(stream, ram).eos();
  const std::size_t devices_at = stream.size();
  stream.tail().bytes.resize(stream.size() + 500);  // a container may have filled up its last piece
  const StreamImport imported = import_stream(stream.bytes);
  ASSERT_TRUE(imported.ok()) << explain(imported.error);
  Opened opened(imported.file);
  const auto first = stream.bytes.begin();
  EXPECT_EQ(opened.content(RegionKind::kState, "qemu.stream.head"), Bytes(first, first + static_cast<std::ptrdiff_t>(head_bytes)));
  EXPECT_EQ(opened.content(RegionKind::kState, "qemu.stream.devices"), Bytes(first + static_cast<std::ptrdiff_t>(devices_at), stream.bytes.end()));
  EXPECT_EQ(opened.metadata("machine"), "pc-q35-9.1");
  EXPECT_EQ(opened.metadata("source.format"), "qemu");
  EXPECT_EQ(opened.metadata("qemu.runstate"), "paused");
  EXPECT_EQ(opened.metadata("qemu.ram.version"), "4");
  EXPECT_EQ(opened.metadata("qemu.ram.section"), "3");

  // Out again: the same devices; the list of capabilities, which a destination must have as well, stays behind.
  const auto exported = export_stream(*opened);
  ASSERT_OK(exported);
  expect_imports(*exported, ram, false);
  EXPECT_TRUE(std::equal(first + static_cast<std::ptrdiff_t>(devices_at), stream.bytes.end(),
                         exported->end() - static_cast<std::ptrdiff_t>(stream.size() - devices_at)));
  MigrationStream head;
  head.head("pc-q35-9.1").subsection("configuration/target-page-bits", bits).subsection("configuration/uuid", Buffer(16, std::byte{7}));
  EXPECT_TRUE(std::equal(head.bytes.begin(), head.bytes.end(), exported->begin()));
  EXPECT_EQ(*export_stream(*opened, {}, 3), *exported);

  // What went through once changes no more.
  const StreamImport again = import_stream(*exported);
  Opened reopened(again.file);
  EXPECT_EQ(*export_stream(*reopened), *exported);
}

TEST(QemuStream, MappedRamTakesWhatTheBitmapHas) {
  Ram ram = small_ram();
  ram.push_back({"tail", Buffer(130 * 4096)});  // three words of bitmap
  const Buffer last = page_like(9);
  std::copy(last.begin(), last.end(), ram.back().content.end() - 4096);
  MigrationStream stream;
  stream.head("pc-q35-10.0").capabilities({"mapped-ram"}).start_ram().mapped_list(ram).eos().part(3).eos().tail();
  expect_imports(stream.bytes, ram, false);
  const StreamImport imported = import_stream(stream.bytes);
  Opened opened(imported.file);
  const auto exported = export_stream(*opened);
  ASSERT_OK(exported);
  expect_imports(*exported, ram, false);  // as a plain stream
}

TEST(QemuStream, InsideAnImageItIsTheSame) {
  ModelledGuest guest = begun();
  for (std::size_t page = 0; page < 24; ++page) guest.page(0, page, page_like(static_cast<unsigned>(page)));
  guest.page(0, 1, page_like(60));
  Qcow2Spec spec;
  spec.version = 3;
  spec.snapshots.push_back({.state = finished(guest)});
  spec.snapshots.back().extra.resize(16);
  patch_be(spec.snapshots.back().extra, 0, guest.stream.size(), 8);
  patch_be(spec.snapshots.back().extra, 8, spec.disk_bytes, 8);
  const Buffer image = build_qcow2(spec).file;
  const auto source = memory_source(image);
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  auto imported = import_qcow2(*source, **writer, {});
  ASSERT_OK(imported);
  ASSERT_OK((*writer)->finish());
  ASSERT_NE(*imported, nullptr);
  ASSERT_OK(correct(**imported, file, {}, {}));
  expect_ram(file, guest.ram);
  Opened opened(file);
  EXPECT_EQ(opened.metadata("source.format"), "qcow2");
  EXPECT_EQ(opened.metadata("source.snapshot.name"), "one");
}

TEST(QemuStream, ReadsOfAnySizeGiveTheSame) {
  ModelledGuest guest = begun();
  for (std::size_t i = 0; i < 60; ++i) guest.page(i % 2, i * 5 % 8, page_like(static_cast<unsigned>(i)));
  const Buffer& bytes = finished(guest);
  const StreamImport whole = import_stream(bytes);
  for (const std::size_t most : {1u, 3u, 5000u}) {
    UnevenStream stream(bytes, most);
    const StreamImport imported = import_from(stream);
    ASSERT_TRUE(imported.ok()) << explain(imported.error);
    EXPECT_EQ(imported.file, whole.file);
  }
}

TEST(QemuStream, ProgressCountsTheStreamAndCancellingEndsIt) {
  const Buffer bytes = stopped_guest(small_ram());
  std::atomic<std::uint64_t> progress{0};
  std::atomic<bool> cancel{false};
  ImportOptions options;
  options.progress = &progress;
  options.cancel = &cancel;
  ASSERT_TRUE(import_stream(bytes, {}, options).ok());
  EXPECT_EQ(progress, bytes.size());
  cancel = true;
  EXPECT_EQ(import_stream(bytes, {}, options).error.code, Code::kCancelled);
}

TEST(QemuStream, FirstBytesTellWhatItIs) {
  EXPECT_EQ(detect_format(stopped_guest(small_ram())), Format::kQemu);
  MigrationStream old;
  old.magic().begin(1, 1, "ram", 3);
  EXPECT_EQ(detect_format(old.bytes), Format::kVmstate);
  const Buffer whole = stopped_guest(small_ram());
  for (std::size_t bytes = 0; bytes < 9; ++bytes) EXPECT_NE(detect_format(std::span(whole).first(bytes)), Format::kQemu);
}

// ---- Against the model ----

constexpr std::uint64_t kRuns = 60;

class QemuStreamRandom : public testing::Test {
 protected:
  std::uint64_t seed = [] {
    const char* given = std::getenv("SNAP_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();

  static Buffer changed(Buffer content, Random& random) {
    for (std::uint64_t i = random.below(6); i-- > 0;) {
      const std::size_t at = random.below(4096);
      const std::size_t end = std::min<std::size_t>(4096, at + 1 + random.below(random.one_in(3) ? 3000 : 9));
      const auto value = random.one_in(3) ? std::byte{0} : static_cast<std::byte>(random.next());
      for (std::size_t k = at; k < end; ++k) content[k] = value;
    }
    return content;
  }

  /// A live guest: rounds over its pages, in order mostly.
  static ModelledGuest live_guest(Random& random) {
    ModelledGuest guest(blank_ram({{"pc.ram", 1 + random.below(70)}, {"b", 1 + random.below(9)}, {"c", 1 + random.below(3)}}));
    MigrationStream& stream = guest.stream;
    stream.head(random.one_in(4) ? "" : "pc-i440fx-7.2");
    stream.continues = !random.one_in(5);
    stream.start_ram(guest.ram).part();
    for (std::uint64_t round = 0; round < 1 + random.below(4); ++round) {
      const bool in_order = !random.one_in(3);
      std::size_t block = 0;
      std::size_t page = 0;
      for (std::uint64_t i = random.below(120); i-- > 0;) {
        if (in_order) {
          page += 1 + random.below(3);
          if (page >= guest.pages(block)) page = 0, block = (block + 1) % guest.ram.size();
        } else {
          block = random.below(guest.ram.size());
          page = random.below(guest.pages(block));
        }
        step(guest, block, page, random);
        if (random.one_in(30)) stream.eos().part(random.one_in(3) ? 3 : 2);
      }
    }
    stream.eos().tail();
    return guest;
  }

  static void step(ModelledGuest& guest, std::size_t block, std::size_t page, Random& random) {
    const Buffer content = page_like(static_cast<unsigned>(random.below(12)));
    switch (random.below(8)) {
      case 0: return guest.fill(block, page, 0);
      case 1: return guest.fill(block, page, random.one_in(2) ? 0 : 0x40);
      case 2: return guest.compressed(block, page, content);
      case 3:
      case 4:
      case 5:
        if (guest.seen(block, page)) return guest.delta(block, page, changed(guest.at(block, page), random));
        [[fallthrough]];
      default: return guest.page(block, page, content);
    }
  }
};

TEST_F(QemuStreamRandom, LiveGuestsAreWhatTheModelSays) {
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    SCOPED_TRACE("SNAP_SEED=" + std::to_string(seed + run));
    Random random(seed + run);
    const ModelledGuest guest = live_guest(random);
    Bytes before;
    for (const unsigned threads : {0u, 1u, 2u, 4u}) {
      WriterOptions how;
      how.threads = threads;
      const StreamImport imported = import_stream(guest.stream.bytes, how);
      ASSERT_TRUE(imported.ok()) << explain(imported.error);
      if (threads == 0) expect_ram(imported.file, guest.ram);
      ASSERT_TRUE(threads == 0 || imported.file == before) << threads << " threads";
      before = imported.file;
    }
    Opened opened(before);
    const auto exported = export_stream(*opened);
    ASSERT_OK(exported);
    expect_imports(*exported, guest.ram, false);
    if (HasFailure()) return;
  }
}

TEST_F(QemuStreamRandom, SoAreChildrenOfAnother) {
  for (std::uint64_t run = 0; run < kRuns / 3; ++run) {
    SCOPED_TRACE("SNAP_SEED=" + std::to_string(seed + run));
    Random random(seed + run);
    const ModelledGuest first = live_guest(random);
    const ModelledGuest second = live_guest(random);
    const StreamImport base = import_stream(first.stream.bytes);
    ASSERT_TRUE(base.ok()) << explain(base.error);
    Opened parent(base.file);
    const auto pages = ParentPages::index(*parent, {});
    ASSERT_OK(pages);
    WriterOptions how;
    how.parent = &*parent;
    how.parent_pages = pages->get();
    how.threads = static_cast<unsigned>(random.below(3));
    const StreamImport imported = import_stream(second.stream.bytes, how);
    ASSERT_TRUE(imported.ok()) << explain(imported.error);
    expect_ram(imported.file, second.ram, &*parent);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace snap::test
