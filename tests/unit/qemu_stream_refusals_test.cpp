// SPDX-License-Identifier: Apache-2.0
// Migration streams that are damaged, cut, hostile or of a kind that is not known: each is refused with its cause and its place.
#include <functional>

#include "support/faulty.h"
#include "support/sanitized.h"
#include "support/stream_import.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;

Ram two_blocks() { return blank_ram({{"pc.ram", 6}, {"b", 2}}); }

/// A stream up to the first record of an open PART.
MigrationStream opened_part(const Ram& ram = two_blocks()) {
  MigrationStream stream;
  stream.head().start_ram(ram).part();
  return stream;
}
Buffer closed(MigrationStream stream) { return stream.eos().part(3).eos().tail().bytes; }

/// The stream is refused at the place where `make` begins to add to it.
void expect_refused_there(MigrationStream stream, const std::function<void(MigrationStream&)>& make, Code code, std::string_view cause) {
  const std::uint64_t at = stream.size();
  make(stream);
  SCOPED_TRACE(cause);
  expect_refused(import_stream(closed(stream)), code, cause, at);
}

TEST(QemuStreamRefusals, WhatIsNoMigrationStream) {
  expect_refused(import_stream({}), Code::kTruncated, "ends in its head", 0);
  expect_refused(import_stream(Buffer(100)), Code::kCorrupt, "not a migration stream", 0);
  expect_refused(import_stream(MigrationStream().magic(2).add(Buffer(20)).bytes), Code::kUnsupported, "unknown version", 4);
  expect_refused(import_stream(MigrationStream().head().tail().bytes), Code::kNotFound, "no RAM", 8 + 5 + 13);
}

TEST(QemuStreamRefusals, HeadsThatAreNone) {
  const auto head = [] { return MigrationStream().magic(); };
  const auto refused = [&](const std::function<void(MigrationStream&)>& make, Code code, std::string_view cause, std::uint64_t at) {
    MigrationStream stream = head();
    make(stream);
    SCOPED_TRACE(cause);
    expect_refused(import_stream(stream.add(Buffer(5000)).bytes), code, cause, at);
  };
  refused([](auto& s) { s.number(7, 1).number(0, 4); }, Code::kCorrupt, "illegal length", 8);
  refused([](auto& s) { s.number(7, 1).number(~0u, 4); }, Code::kCorrupt, "illegal length", 8);
  refused([](auto& s) { s.configuration(std::string(256, 'x')); }, Code::kCorrupt, "illegal length", 8);
  refused([](auto& s) { s.configuration("pc\n"); }, Code::kCorrupt, "no text", 8);
  Buffer bits;
  put_be(bits, 14, 4);
  refused([&](auto& s) { s.configuration("pc").subsection("configuration/target-page-bits", bits); }, Code::kUnsupported, "not of 4 KiB", 15);
  refused([](auto& s) { s.configuration("pc").subsection("configuration/else", {}); }, Code::kUnsupported, "not known", 15);
  refused([](auto& s) { s.configuration("pc").subsection("configuration/capabilities", Buffer(4, std::byte{1})); }, Code::kCorrupt,
          "too many capabilities", 15 + 1 + 27 + 4);
  refused([](auto& s) { s.configuration("pc").capabilities({"x-ignore-shared"}); }, Code::kUnsupported, "x-ignore-shared", 0);
}

TEST(QemuStreamRefusals, HeadsThatNeverEnd) {
  MigrationStream stream;
  stream.head("pc");
  for (int i = 0; i < 4000; ++i) stream.subsection("configuration/uuid", Buffer(16));
  expect_refused(import_stream(stream.bytes), Code::kLimit, "head");
}

TEST(QemuStreamRefusals, SectionsThatDoNotBelongThere) {
  const MigrationStream head = MigrationStream().head();
  const MigrationStream begun = MigrationStream(head).start_ram(two_blocks());
  expect_refused_there(head, [](auto& s) { s.begin(1, 1, "block", 1); }, Code::kUnsupported, "length is not known");
  expect_refused_there(head, [](auto& s) { s.begin(1, 1, "ram", 4, 1); }, Code::kUnsupported, "length is not known");
  expect_refused_there(head, [](auto& s) { s.start_ram(3); }, Code::kUnsupported, "of this version");
  expect_refused_there(head, [](auto& s) { s.start_ram().eos(); }, Code::kCorrupt, "without a list");
  expect_refused_there(head, [](auto& s) { s.part(); }, Code::kCorrupt, "did not begin");
  expect_refused_there(head, [](auto& s) { s.begin(1, 1, "dirty-bitmap", 1).number(0x10, 1); }, Code::kUnsupported, "dirty bitmaps");
  expect_refused_there(begun, [](auto& s) { s.start_ram(two_blocks()); }, Code::kCorrupt, "two RAM sections");
  expect_refused_there(begun, [](auto& s) { s.number(2, 1).number(77, 4); }, Code::kCorrupt, "did not begin");
  expect_refused_there(begun, [](auto& s) { s.number(5, 1); }, Code::kCorrupt, "unknown element");
  for (const unsigned command : {0u, 1u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 12u, 0xffffu}) {
    expect_refused_there(begun, [&](auto& s) { s.command(command, Buffer(4)); }, Code::kUnsupported, "only a live peer");
  }
  // The footer of another section.
  MigrationStream stream = opened_part();
  const std::uint64_t at = stream.size() + 8;
  stream.number(kFlagEos, 8).footer(5);
  expect_refused(import_stream(stream.bytes), Code::kCorrupt, "names another section", at);
}

TEST(QemuStreamRefusals, ListsOfBlocks) {
  const auto list = [](std::uint64_t total, const std::function<void(MigrationStream&)>& entries, Code code, std::string_view cause,
                       std::uint64_t after = 0) {
    MigrationStream stream;
    stream.head().start_ram();
    const std::uint64_t at = stream.size();
    stream.number(total | kFlagList, 8);
    entries(stream);
    SCOPED_TRACE(cause);
    expect_refused(import_stream(closed(stream)), code, cause, at + after);
  };
  const auto none = [](auto&) {};
  list(0, none, Code::kCorrupt, "empty list");
  list(8192, [](auto& s) { s.listed("a", 4096).listed("a", 4096); }, Code::kCorrupt, "two RAM blocks of one name", 8 + 10);
  list(4096, [](auto& s) { s.listed("a", 8192); }, Code::kCorrupt, "larger than all", 8);
  list(4096, [](auto& s) { s.listed("a", 0); }, Code::kCorrupt, "no whole pages", 8);
  list(4096, [](auto& s) { s.listed("a", 4095); }, Code::kCorrupt, "no whole pages", 8);
  list(4096, [](auto& s) { s.listed("", 4096); }, Code::kCorrupt, "no text", 8);
  list(4096, [](auto& s) { s.listed("\xff", 4096); }, Code::kCorrupt, "no text", 8);
  list(9 * kTiB, [](auto& s) { s.listed("a", 9 * kTiB); }, Code::kLimit, "8 TiB");
  list(1025 * 4096, [](auto& s) { for (int i = 0; i < 1025; ++i) s.listed(std::to_string(i), 4096); }, Code::kLimit, "more RAM blocks");
  expect_refused_there(opened_part(), [](auto& s) { s.list(two_blocks()); }, Code::kCorrupt, "a second list");
}

TEST(QemuStreamRefusals, PagesThatHaveNoPlace) {
  const Buffer page = page_like(1);
  expect_refused_there(opened_part(), [&](auto& s) { s.page("pc.ram", 6, page); }, Code::kCorrupt, "outside its RAM block");
  expect_refused_there(opened_part(), [&](auto& s) { s.page("b", (std::uint64_t{1} << 52) - 1, page); }, Code::kCorrupt, "outside its RAM block");
  expect_refused_there(opened_part(), [&](auto& s) { s.page("c", 0, page); }, Code::kCorrupt, "not in the list");
  expect_refused_there(opened_part(), [&](auto& s) { s.page("", 0, page); }, Code::kCorrupt, "not in the list");
  expect_refused_there(opened_part(), [&](auto& s) { s.number(kFlagPage | kFlagContinue, 8).add(page); }, Code::kCorrupt, "none was named");
  MigrationStream early;
  early.head().start_ram();
  const std::uint64_t at = early.size();
  early.page("pc.ram", 0, page);
  expect_refused(import_stream(closed(early)), Code::kCorrupt, "in front of the list", at);
}

TEST(QemuStreamRefusals, RecordsOfUnknownKind) {
  for (const std::uint64_t flags : {0x00u, 0x01u, 0x0au, 0x18u, 0x48u, 0x80u, 0x400u, 0x800u}) {
    expect_refused_there(opened_part(), [&](auto& s) { s.word("b", 1, flags).add(Buffer(4096)); }, Code::kCorrupt, "unknown kind");
  }
}

TEST(QemuStreamRefusals, DifferencesThatAreNone) {
  const auto refused = [](const std::function<void(MigrationStream&)>& make, std::string_view cause) {
    // Over a page still ahead, over one already written, and over one that is late.
    MigrationStream ahead = opened_part();
    ahead.zero("pc.ram", 3);
    expect_refused_there(ahead, make, Code::kCorrupt, cause);
    MigrationStream behind = opened_part();
    behind.page("pc.ram", 3, page_like(1));
    expect_refused_there(behind, make, Code::kCorrupt, cause);
    behind.page("pc.ram", 3, page_like(2));
    expect_refused_there(behind, make, Code::kCorrupt, cause);
  };
  const Buffer good = xbzrle_delta(Buffer(4096), page_like(1));
  refused([&](auto& s) { s.xbzrle("pc.ram", 4, good); }, "did not come yet");
  refused([&](auto& s) { s.word("pc.ram", 3, kFlagXbzrle).number(2, 1).number(good.size(), 2).add(good); }, "no XBZRLE");
  refused([&](auto& s) { s.xbzrle("pc.ram", 3, Buffer(4097)); }, "larger than its page");
  refused([&](auto& s) { s.xbzrle("pc.ram", 3, Buffer(good.begin(), good.end() - 1)); }, "no XBZRLE");
  refused([&](auto& s) { s.xbzrle("pc.ram", 3, Buffer(300, std::byte{0xff})); }, "no XBZRLE");
}

TEST(QemuStreamRefusals, CompressedPagesThatGiveNoPage) {
  const auto refused = [](const Buffer& content, std::string_view cause) {
    expect_refused_there(opened_part(), [&](auto& s) { s.compressed("b", 0, content); }, Code::kCorrupt, cause);
  };
  refused(Buffer(4095), "does not give a page");
  refused(Buffer(4097), "does not give a page");
  refused(Buffer(1 << 20), "does not give a page");
  expect_refused_there(opened_part(), [](auto& s) { s.word("b", 0, kFlagCompressed).number(100, 4).add(Buffer(100, std::byte{0x55})); },
                       Code::kCorrupt, "does not give a page");
  expect_refused_there(opened_part(), [](auto& s) { s.word("b", 0, kFlagCompressed).number(~0u, 4); }, Code::kCorrupt, "too large");
}

TEST(QemuStreamRefusals, MappedRamOutOfPlace) {
  const Ram ram = two_blocks();
  MigrationStream good;
  good.head().capabilities({"mapped-ram"}).start_ram();
  const std::size_t entry = good.size() + 8;
  const std::size_t header = entry + 7 + 8;
  good.mapped_list(ram).eos().tail();
  ASSERT_TRUE(import_stream(good.bytes).ok());
  const auto refused = [&](std::size_t at, std::uint64_t value, unsigned width, Code code, std::string_view cause) {
    Buffer bytes = good.bytes;
    patch_be(bytes, header + at, value, width);
    SCOPED_TRACE(cause);
    expect_refused(import_stream(bytes), code, cause, entry);
  };
  refused(0, 2, 4, Code::kUnsupported, "header of this version");
  refused(4, 16384, 8, Code::kUnsupported, "not of 4 KiB");
  refused(12, header, 8, Code::kCorrupt, "bitmap out of its place");
  refused(12, ~std::uint64_t{0}, 8, Code::kCorrupt, "bitmap out of its place");
  refused(20, header + 28, 8, Code::kCorrupt, "over their bitmap");
  refused(20, ~std::uint64_t{4095}, 8, Code::kCorrupt, "out of their place");
  refused(20, kMiB + 1, 8, Code::kCorrupt, "out of their place");
  Buffer twice = good.bytes;
  Ram one_name = ram;
  one_name[1].name = one_name[0].name;
  MigrationStream same;
  same.head().capabilities({"mapped-ram"}).start_ram().mapped_list(one_name).eos().tail();
  expect_refused(import_stream(same.bytes), Code::kCorrupt, "two RAM blocks of one name");
}

// A stream that promises much brings nothing along: memory grows with what is there.
TEST(QemuStreamRefusals, PromisesOfMuch) {
  MigrationStream mapped;
  mapped.head().capabilities({"mapped-ram"}).start_ram().number((8 * kTiB) | kFlagList, 8).listed("pc.ram", 8 * kTiB);
  const std::uint64_t bitmap_at = mapped.size() + 28;
  const std::uint64_t bitmap_end = bitmap_at + 8 * kTiB / 4096 / 8;
  mapped.number(1, 4).number(4096, 8).number(bitmap_at, 8).number((bitmap_end + kMiB - 1) / kMiB * kMiB, 8).add(Buffer(1000));
  expect_refused(import_stream(mapped.bytes), Code::kTruncated, "ends early", mapped.size());

  MigrationStream list;
  list.head().start_ram().number((8 * kTiB) | kFlagList, 8).listed("pc.ram", 8 * kTiB).eos().part();
  list.page("pc.ram", 8 * kTiB / 4096 - 1, page_like(1)).page("pc.ram", 0, page_like(2));
  expect_refused(import_stream(list.bytes), Code::kTruncated, "ends early", list.size());
}

TEST(QemuStreamRefusals, DevicesThatAreCutOff) {
  MigrationStream stream;
  stream.head().start_ram(two_blocks());
  const std::size_t devices_at = stream.size();
  const Buffer whole = stream.tail().bytes;
  ASSERT_TRUE(import_stream(whole).ok());
  for (std::size_t bytes = devices_at + 1; bytes < whole.size(); ++bytes) {
    SCOPED_TRACE(bytes);
    expect_refused(import_stream(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes))), Code::kTruncated, "ends early", bytes);
    if (HasFailure()) return;
  }
  Buffer more = whole;
  more.push_back(std::byte{1});
  expect_refused(import_stream(more), Code::kTruncated, "ends early");
}

/// A small stream with each kind of record.
Buffer one_of_each() {
  ModelledGuest guest(two_blocks());
  guest.stream.head().capabilities({"events"}).command(2, Buffer(4)).start_ram(guest.ram).part();
  guest.page(0, 0, page_like(97));
  guest.fill(0, 1, 0);
  guest.compressed(0, 2, Buffer(4096, std::byte{3}));
  Buffer changed = guest.at(0, 0);
  changed[9] ^= std::byte{1};
  guest.delta(0, 0, changed);
  guest.fill(1, 1, 9);
  return guest.stream.eos().part(3).eos().tail().bytes;
}

TEST(QemuStreamRefusals, AStreamCutAnywhereNamesItsEnd) {
  const Buffer whole = one_of_each();
  ASSERT_TRUE(import_stream(whole).ok());
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += bytes < 4200 && bytes > 200 ? 97 : (kSanitized ? 3 : 1)) {
    SCOPED_TRACE(bytes);
    expect_refused(import_stream(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes))), Code::kTruncated, "ends", bytes);
    if (HasFailure()) return;
  }
}

TEST(QemuStreamRefusals, ABitChangedAnywhereIsNoCrash) {
  const Buffer whole = one_of_each();
  for (std::size_t bit = 0; bit < whole.size() * 8; bit += bit / 8 < 4200 && bit / 8 > 200 ? 1009 : (kSanitized ? 31 : 11)) {
    Buffer bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
    const StreamImport imported = import_stream(bytes);
    EXPECT_TRUE(imported.ok() || std::string_view(imported.error.what) != "") << bit;
  }
}

TEST(QemuStreamRefusals, AMachineThatIsNotKnown) {
  ImportOptions options;
  options.machine = "pdp11";
  expect_refused(import_stream(one_of_each(), {}, options), Code::kInvalidArgument, "machine");
}

// ---- Faults of what it reads and writes ----

TEST(QemuStreamRefusals, ASourceThatFails) {
  const Buffer whole = one_of_each();
  const auto memory = memory_source(whole);
  for (const auto kind : {Fault::Kind::kError, Fault::Kind::kShort}) {
    for (std::uint64_t n = 0;; ++n) {
      ASSERT_LT(n, 1000u);
      UnevenStream pieces(whole, 900);
      Fault fault;
      fault.arm(n, kind, false);
      FaultyStream faulty(pieces, fault);
      const StreamImport imported = import_from(faulty);
      if (!fault.hit()) break;
      if (kind == Fault::Kind::kShort) {
        EXPECT_TRUE(imported.ok()) << explain(imported.error);
      } else {
        expect_refused(imported, Code::kIo, "a fault of the test's");
      }
    }
  }
}

TEST(QemuStreamRefusals, AWriterThatFails) {
  const Buffer whole = one_of_each();
  const auto memory = memory_source(whole);
  for (const unsigned threads : {0u, 2u}) {
    for (const bool second : {false, true}) {
      for (std::uint64_t n = 0;; ++n) {
        ASSERT_LT(n, 1000u);
        Fault fault;
        fault.arm(second ? Fault::kNever : n, Fault::Kind::kFullDisk, true);
        WriterOptions how;
        how.block_bytes = 1u << 14;
        how.threads = threads;
        Bytes file;
        auto sink = memory_sink(file);
        FaultySink faulty(*sink, fault);
        auto writer = Writer::create(faulty, how);
        ASSERT_OK(writer);
        auto imported = import_qemu(*range_stream(*memory, 0, whole.size()), **writer, {});
        if (imported) {
          if (auto done = (*writer)->finish(); !done) imported = done.error();
        }
        if (second) {
          ASSERT_OK(imported);
          fault.arm(n, Fault::Kind::kFullDisk, true);
          const auto source = memory_source(file);
          auto first = Reader::open(*source);
          ASSERT_OK(first);
          Bytes corrected;
          auto again = memory_sink(corrected);
          FaultySink faulty_again(*again, fault);
          auto rewriter = Writer::create(faulty_again, how);
          ASSERT_OK(rewriter);
          if (auto applied = (*imported)->apply(**first, **rewriter, {}); !applied) imported = applied.error();
          if (imported) {
            if (auto done = (*rewriter)->finish(); !done) imported = done.error();
          }
        }
        if (!fault.hit()) {
          EXPECT_OK(imported);
          break;
        }
        ASSERT_FALSE(imported.has_value());
        EXPECT_EQ(imported.error().sys_errno, ENOSPC) << explain(imported.error());
      }
    }
  }
}

TEST(QemuStreamRefusals, AFirstSnapshotThatCannotBeReadAgain) {
  const Buffer whole = one_of_each();
  const auto memory = memory_source(whole);
  Bytes file;
  auto imported = import_with(import_qemu, *range_stream(*memory, 0, whole.size()), file, {}, {});
  ASSERT_OK(imported);
  ASSERT_NE(*imported, nullptr);
  for (const unsigned threads : {0u, 3u}) {
    for (std::uint64_t n = 0;; ++n) {
      ASSERT_LT(n, 1000u);
      const auto inner = memory_source(file);
      Fault fault;
      FaultySource faulty(*inner, fault);
      auto first = Reader::open(faulty, {.cache_bytes = 0});
      ASSERT_OK(first);
      fault.arm(n, Fault::Kind::kError, true);
      Bytes again;
      auto sink = memory_sink(again);
      WriterOptions how;
      how.threads = threads;
      auto writer = Writer::create(*sink, how);
      ASSERT_OK(writer);
      std::atomic<bool> reads_failed{false};
      const auto applied = (*imported)->apply(**first, **writer, {}, &reads_failed);
      const auto done = applied ? (*writer)->finish() : Result<Digest>(applied.error());
      if (!fault.hit()) {
        EXPECT_OK(done);
        break;
      }
      ASSERT_FALSE(done.has_value());
      EXPECT_EQ(done.error().code, Code::kIo) << explain(done.error());
      EXPECT_TRUE(reads_failed);
    }
  }
}

TEST(QemuStreamRefusals, ASpoolThatCannotBeMade) {
  TemporaryFile file;
  ImportOptions options;
  options.spool_dir_fd = file.fd();  // no directory
  expect_refused(import_stream(one_of_each(), {}, options), Code::kIo, "spool");
  EXPECT_TRUE(import_stream(stopped_guest(two_blocks()), {}, options).ok()) << "no page comes again: none is needed";
}

}  // namespace
}  // namespace snap::test
