// SPDX-License-Identifier: Apache-2.0
// Save files of xl in and out: one that xl wrote itself, and those made byte by byte.
#include <gtest/gtest.h>
#include <zstd.h>

#include <fstream>
#include <iterator>
#include <map>

#include "paths.h"
#include "snap/reader.h"
#include "support/sanitized.h"
#include "support/sha256.h"
#include "support/xen_import.h"
#include "vmm/xen_recipe.h"

namespace snap::test {
namespace {

std::string explain(const Error& error) { return std::string(error.what) + " at " + std::to_string(error.file_offset); }

class Opened {
 public:
  explicit Opened(const StreamImport& snapshot) : source_(memory_source(snapshot.file)) {
    auto opened = Reader::open(*source_);
    EXPECT_TRUE(opened) << explain(opened.error());
    if (opened) reader_ = std::move(*opened);
  }
  Reader& reader() { return *reader_; }
  std::string meta(const std::string& key) const {
    const auto found = reader_->metadata().find(key);
    return found == reader_->metadata().end() ? "" : found->second;
  }
  std::size_t ram() const { return reader_->find(RegionKind::kMemory, "ram").value_or(99); }
  std::uint64_t ram_pages() const { return reader_->regions()[ram()].size / 4096; }
  Buffer page(std::uint64_t number) {
    Buffer page(4096);
    EXPECT_TRUE(reader_->read(ram(), number * 4096, page));
    return page;
  }

 private:
  std::unique_ptr<RandomSource> source_;
  std::unique_ptr<Reader> reader_;
};

/// Comes back byte for byte, however it came and goes.
StreamImport expect_round_trip(const Buffer& save) {
  StreamImport snapshot = import_save(save);
  EXPECT_TRUE(snapshot.ok()) << explain(snapshot.error);
  if (!snapshot.ok()) return snapshot;
  for (const unsigned threads : {0u, 1u, 3u}) {
    const XenFile back = export_save(snapshot.file, threads);
    EXPECT_EQ(back.error.code, Code::kOk) << explain(back.error);
    EXPECT_TRUE(back.report.digest_known);
    EXPECT_TRUE(back.report.identical);
    EXPECT_EQ(back.report.bytes, save.size());
    EXPECT_TRUE(back.bytes == save);
  }
  const StreamImport trickled = import_save(save, 4099);
  EXPECT_TRUE(trickled.file == snapshot.file);
  return snapshot;
}

void expect_refused(const Buffer& save, Code code, std::string_view cause, std::uint64_t offset) {
  const StreamImport snapshot = import_save(save);
  EXPECT_EQ(snapshot.error.code, code) << explain(snapshot.error);
  EXPECT_NE(std::string_view(snapshot.error.what).find(cause), std::string_view::npos) << snapshot.error.what;
  EXPECT_EQ(snapshot.error.file_offset, offset) << snapshot.error.what;
}

/// A live migration: frames come again in later passes, out of order, and one is no longer there in the end.
XenSave live() {
  XenSave save;
  save.begin(kXenHvmType).record(17, Buffer(24)).record(16);
  save.pages({{0, 1}, {1, 2}, {2, 0}, {3, 4}, {4, 5}, {160, 0, 15}, {300, 6}, {301, 7}});
  save.pages({{1, 12}, {2, 13}, {300, 16}});
  save.pages({{1, 22}, {4, 8}, {200, 30}, {400, 31}});
  save.pages({{4, 0, 15}, {200, 32}, {400, 33}, {401, 34}});
  save.record(8, Buffer(24)).record(9, Buffer(41, std::byte{5})).end();
  put_text(save.file, "domain is yours, you are cleared to unpause");
  return save;
}

// ---- A file of a real xl ----

Buffer genuine() {
  std::ifstream file(SNAP_TEST_DATA "/xen/tiny-1.save.zst", std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), {}};
  Buffer save(12640934);
  EXPECT_EQ(ZSTD_decompress(save.data(), save.size(), packed.data(), packed.size()), save.size());
  EXPECT_EQ(sha256(save), "a5550f46c72672824c9f5c9ab40e9da42bf2b073ae57c126311be7038dad8941");
  return save;
}

std::uint64_t number_at(const Buffer& in, std::size_t at, unsigned bytes) {
  std::uint64_t value = 0;
  for (unsigned i = bytes; i-- != 0;) value = value << 8 | std::to_integer<std::uint64_t>(in.at(at + i));
  return value;
}

TEST(XenFixture, ComesBackWithItsMemoryWhereItBelongs) {
  const Buffer save = genuine();
  const StreamImport snapshot = expect_round_trip(save);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_FALSE(snapshot.corrected);
  EXPECT_LT(snapshot.file.size(), 2 * kMiB);
  Opened opened(snapshot);
  EXPECT_EQ(opened.meta("source.format"), "xen");
  EXPECT_EQ(opened.meta("xen.guest"), "pvh");
  EXPECT_EQ(opened.meta("xen.domain"), "tiny");
  EXPECT_EQ(opened.meta("xen.version"), "4.17");
  EXPECT_EQ(opened.meta("xen.stream.version"), "3");
  EXPECT_EQ(opened.meta("xen.save.bytes"), std::to_string(save.size()));
  EXPECT_EQ(opened.ram_pages(), 0xff000u);
  // Its 1020 PAGE_DATA records stand from 2134 on, as an independent reader found; the sum is that reader's.
  Buffer truth;
  std::size_t bodies = 0;
  std::size_t at = 2134;
  for (unsigned record = 0; record < 1020; ++record) {
    ASSERT_EQ(number_at(save, at, 4), 1u);
    const std::uint64_t count = number_at(save, at + 8, 4);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t entry = number_at(save, at + 16 + 8 * i, 8);
      if (entry >> 60 == 15) continue;
      put_le(truth, entry, 8);
      put(truth, opened.page(entry));
      ++bodies;
    }
    at += 8 + number_at(save, at + 4, 4);
  }
  EXPECT_EQ(bodies, 1041u);
  EXPECT_EQ(sha256(truth), "4b41cf4b775e3f2025011663183e273e1327148e379c9f9e7d064c353b0b7cf9");
}

// ---- Files made by hand ----

TEST(Xen, KeepsWhatIsNotMemory) {
  XenSave save;
  save.begin(kXenHvmType).record(17, Buffer(24, std::byte{1})).record(18, Buffer(16)).record(16);
  save.pages({{0, 1}, {1, 2}, {5, 3}});
  save.record(8, Buffer(24)).record(9, Buffer(13, std::byte{7})).record(10, Buffer(8)).record(0x80000077, Buffer(3)).record(0);
  save.record(2, Buffer(9)).record(3, Buffer(200 * 1024, std::byte{9})).record(0x80000001, Buffer(1)).record(0);
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  Opened opened(snapshot);
  EXPECT_EQ(opened.ram_pages(), 6u);
  EXPECT_TRUE(opened.page(0) == xen_page(1));
  EXPECT_TRUE(opened.page(2) == xen_page(0));
  EXPECT_TRUE(opened.page(5) == xen_page(3));
  EXPECT_EQ(opened.meta("xen.guest"), "pvh");
  EXPECT_EQ(opened.meta("xen.domain"), "probe");
  EXPECT_EQ(main_memory(opened.reader()), opened.ram());
}

TEST(Xen, TakesPvWithAllTypesOfPages) {
  XenSave save;
  save.begin(kXenPvType, 2).record(2, Buffer(8)).record(3, Buffer(24));
  save.pages({{0, 1}, {1, 2, 1}, {2, 3, 2}, {3, 4, 3}, {4, 5, 4}, {5, 6, 9}, {6, 7, 10}, {7, 8, 11}, {8, 9, 12}, {9, 0, 13}, {10, 0, 14}, {11, 0, 15}});
  save.pages({{12, 10}}).record(7, Buffer(4096)).record(4, Buffer(20)).end();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  Opened opened(snapshot);
  EXPECT_EQ(opened.meta("xen.guest"), "pv");
  EXPECT_EQ(opened.meta("xen.stream.version"), "2");
  for (unsigned number = 0; number < 9; ++number) EXPECT_TRUE(opened.page(number) == xen_page(number + 1)) << number;
  EXPECT_TRUE(opened.page(12) == xen_page(10));
  EXPECT_EQ(opened.ram_pages(), 13u);
}

TEST(Xen, LastPageOfALiveMigrationCounts) {
  const XenSave save = live();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_TRUE(snapshot.corrected);
  Opened opened(snapshot);
  const std::map<std::uint64_t, unsigned> truth = {{0, 1},    {1, 22},   {2, 13},  {3, 4},    {4, 8},   {160, 0},
                                                   {200, 32}, {300, 16}, {301, 7}, {400, 33}, {401, 34}};
  for (const auto& [number, seed] : truth) EXPECT_TRUE(opened.page(number) == xen_page(seed)) << number;
  EXPECT_EQ(opened.ram_pages(), 402u);
  const auto superseded = opened.reader().find(RegionKind::kState, "xen.superseded");
  ASSERT_TRUE(superseded);
  // 1, 1 again, 2, 4, 200, 300, 400.
  EXPECT_EQ(opened.reader().regions()[*superseded].size, 7u * 4096);
}

TEST(Xen, TakesFramesOutOfOrder) {
  XenSave save;
  save.begin().pages({{9, 1}, {8, 2}, {7, 3}, {1000, 4}, {0, 5}}).pages({{1, 6}}).end();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  Opened opened(snapshot);
  EXPECT_TRUE(opened.page(7) == xen_page(3));
  EXPECT_TRUE(opened.page(0) == xen_page(5));
  EXPECT_FALSE(opened.reader().find(RegionKind::kState, "xen.superseded"));
}

TEST(Xen, RepeatsWithinOneRecordAndManyTimes) {
  XenSave save;
  save.begin();
  std::vector<XenFrame> frames;
  for (unsigned round = 0; round < 5; ++round) {
    for (unsigned number = 0; number < 200; ++number) {
      if ((number + round) % 3 != 0) frames.push_back({number, round * 1000 + number + 1});
    }
  }
  frames.push_back({3, 77});
  frames.push_back({3, 78});
  save.pages(frames).pages({{3, 79}, {199, 80}}).end();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  Opened opened(snapshot);
  EXPECT_TRUE(opened.page(3) == xen_page(79));
  EXPECT_TRUE(opened.page(199) == xen_page(80));
  EXPECT_TRUE(opened.page(0) == xen_page(4001));
  EXPECT_TRUE(opened.page(2) == xen_page(3003));
}

TEST(Xen, GoesOnBehindACheckpoint) {
  XenSave save;
  save.begin().pages({{0, 1}, {1, 2}}).record(14).record(3, Buffer(24)).record(4);
  save.pages({{1, 3}}).record(14).record(4).record(13).pages({{1, 3}}).end();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_TRUE(Opened(snapshot).page(1) == xen_page(3));
}

TEST(Xen, TakesADomainWithoutPages) {
  XenSave save;
  save.begin().end();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_EQ(Opened(snapshot).ram_pages(), 0u);
}

TEST(Xen, FarFramesCostNothing) {
  XenSave save;
  save.begin();
  std::vector<XenFrame> nothing;
  for (unsigned number = 0; number < 65536; ++number) nothing.push_back({(1u << 30) + number, 0, 15});
  save.pages({{0, 1}}).pages(nothing).pages({{0x7fffffff, 2}}).end();
  const StreamImport snapshot = expect_round_trip(save.file);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_LT(snapshot.file.size(), 64u * 1024);
  EXPECT_TRUE(Opened(snapshot).page(0x7fffffff) == xen_page(2));
}

TEST(Xen, NamesOnlyPlainDomains) {
  const auto name_of = [](std::string_view config) {
    XenSave save;
    save.xl(config).libxl().record(1).libxc().domain().end();
    const StreamImport snapshot = import_save(save.file);
    EXPECT_TRUE(snapshot.ok()) << explain(snapshot.error);
    return Opened(snapshot).meta("xen.domain");
  };
  EXPECT_EQ(name_of(R"({"c_info":{"name":"web 1"}})"), "web 1");
  EXPECT_EQ(name_of(R"({"c_info":{"name":"a\"b"}})"), "");
  EXPECT_EQ(name_of(R"({"b_info":{"name":"x"}})"), "");
  EXPECT_EQ(name_of(R"({"c_info":{"name":7}})"), "");
  EXPECT_EQ(name_of(R"({"c_info":{"name")"), "");
  EXPECT_EQ(name_of(R"({"c_info":{"name":"open)"), "");
  EXPECT_EQ(name_of(""), "");
  EXPECT_EQ(name_of("{\"c_info\":{\"name\":\"\xff\"}}"), "%FF");
}

// ---- Refusals ----

TEST(XenRefusals, FileCutAtAnyByte) {
  const XenSave save = live();
  const std::size_t whole = save.file.size() - 43;  // what follows libxl's END is not the stream's
  for (std::size_t size = 0; size < whole; size += size < 600 || whole - size < 600 ? (kSanitized ? 3 : 1) : 97) {
    const StreamImport snapshot = import_save(std::span(save.file).first(size));
    ASSERT_EQ(snapshot.error.code, Code::kTruncated) << size << ": " << explain(snapshot.error);
    ASSERT_EQ(snapshot.error.file_offset, size) << snapshot.error.what;
  }
  EXPECT_TRUE(import_save(std::span(save.file).first(whole)).ok());
}

TEST(XenRefusals, HeadersThatAreNotKnown) {
  XenSave good;
  good.begin();
  const std::size_t libxl = kXlHeader + kXenConfig.size() + 5;
  const std::size_t libxc = libxl + 24;
  const auto refuse = [&](std::size_t at, std::uint64_t value, unsigned bytes, Code code, std::string_view cause, std::size_t offset) {
    Buffer bad = good.file;
    patch_le(bad, at, value, bytes);
    expect_refused(bad, code, cause, offset);
  };
  refuse(5, 'X', 1, Code::kCorrupt, "not a save file of xl", 0);
  refuse(32, 0x04030201, 4, Code::kUnsupported, "big-endian host", 32);
  refuse(36, 1, 4, Code::kUnsupported, "Xen 4.5 or older", 36);
  refuse(36, 7, 4, Code::kUnsupported, "unknown feature of a Xen save file", 36);
  refuse(44, 0xffffffff, 4, Code::kTruncated, "ends early", good.here());
  refuse(libxl, 'l', 1, Code::kCorrupt, "no libxl stream", libxl);
  refuse(libxl + 11, 1, 1, Code::kUnsupported, "a libxl stream of this version", libxl);
  refuse(libxl + 15, 1, 1, Code::kUnsupported, "big-endian libxl", libxl);
  refuse(libxl + 15, 4, 1, Code::kUnsupported, "unknown feature of a libxl stream", libxl);
  refuse(libxc, 0, 1, Code::kCorrupt, "no libxc stream of Xen 4.6 or newer", libxc);
  refuse(libxc + 15, 4, 1, Code::kUnsupported, "a libxc stream of this version", libxc);
  refuse(libxc + 17, 1, 1, Code::kUnsupported, "big-endian libxc", libxc);
  refuse(libxc + 17, 2, 1, Code::kUnsupported, "unknown feature of a libxc stream", libxc);
  refuse(libxc + 24, 3, 4, Code::kUnsupported, "domain of this type", libxc + 24);
  refuse(libxc + 28, 13, 2, Code::kUnsupported, "not of 4 KiB", libxc + 24);
}

TEST(XenRefusals, RecordsThatCannotBe) {
  XenSave none;
  none.xl().libxl().record(0);
  expect_refused(none.file, Code::kNotFound, "has no memory", none.here() - 8);
  XenSave twice;
  twice.begin().record(0).record(1);
  expect_refused(twice.file, Code::kCorrupt, "two libxc streams", twice.here() - 8);
  XenSave body;
  body.xl().libxl().record(1, Buffer(8));
  expect_refused(body.file, Code::kCorrupt, "a libxc context with a body", body.here() - 16);
  XenSave inside;
  inside.begin().record(14).record(0);
  expect_refused(inside.file, Code::kCorrupt, "ends inside the libxc stream", inside.here() - 8);
  XenSave libxl_kind;
  libxl_kind.xl().libxl().record(6);
  expect_refused(libxl_kind.file, Code::kUnsupported, "a libxl record of a kind not known", libxl_kind.here() - 8);
  XenSave libxc_kind;
  libxc_kind.begin().record(19);
  expect_refused(libxc_kind.file, Code::kUnsupported, "a libxc record of a kind not known", libxc_kind.here() - 8);
  XenSave large;
  large.begin().record(9);
  patch_le(large.file, large.here() - 4, 0x08000001, 4);
  expect_refused(large.file, Code::kLimit, "larger than Xen itself takes", large.here() - 8);
}

/// One PAGE_DATA record with some of its bytes changed, and where it begins.
void refuse_pages(std::size_t at, std::uint64_t value, unsigned bytes, Code code, std::string_view cause, std::size_t offset = 0) {
  XenSave save;
  save.begin();
  const std::size_t record = save.here();
  save.pages({{1, 1}, {2, 2}, {3, 0, 15}}).end();
  patch_le(save.file, record + at, value, bytes);
  expect_refused(save.file, code, cause, record + offset);
}

TEST(XenRefusals, PageDataThatDoesNotFit) {
  refuse_pages(4, 0, 4, Code::kCorrupt, "without pages");
  refuse_pages(4, 8, 4, Code::kCorrupt, "without pages");
  refuse_pages(8, 0, 4, Code::kCorrupt, "without pages");
  refuse_pages(8, 2, 4, Code::kCorrupt, "its pages do not fill");
  refuse_pages(8, 0xffffffff, 4, Code::kCorrupt, "smaller than its list");
  refuse_pages(4, 9, 4, Code::kCorrupt, "smaller than its list");
  refuse_pages(4, 8 + 3 * 8 + 4096, 4, Code::kCorrupt, "its pages do not fill");
  refuse_pages(4, 8 + 3 * 8 + 3 * 4096, 4, Code::kCorrupt, "its pages do not fill");
  refuse_pages(12, 1, 1, Code::kCorrupt, "reserved bits in a PAGE_DATA record");
  for (const unsigned type : {5u, 6u, 7u, 8u}) refuse_pages(31, type << 4, 1, Code::kCorrupt, "illegal type", 24);
  refuse_pages(30, 0x10, 1, Code::kCorrupt, "reserved bits in the number", 24);
  refuse_pages(30, 0x08, 1, Code::kLimit, "behind 8 TiB", 24);
  refuse_pages(16, 0x80000000, 8, Code::kLimit, "behind 8 TiB", 16);
  refuse_pages(31, 0xf0, 1, Code::kCorrupt, "its pages do not fill");
  XenSave many;
  many.begin();
  const std::size_t at = many.here();
  many.pages(std::vector<XenFrame>(65537, XenFrame{1, 0, 15}));
  expect_refused(many.file, Code::kLimit, "more than 65536 frames", at);
}

TEST(XenRefusals, MoreThanIsKeptBesideTheMemory) {
  XenSave save;
  save.begin().record(9, Buffer(64 * kMiB));
  const StreamImport inside = import_save(save.file);
  EXPECT_EQ(inside.error.code, Code::kLimit) << explain(inside.error);
  EXPECT_NE(std::string_view(inside.error.what).find("more than 64 MiB"), std::string_view::npos);
  XenSave behind;
  behind.begin().end();
  behind.file.resize(behind.here() + 64 * kMiB);
  EXPECT_EQ(import_save(behind.file).error.code, Code::kLimit);
}

TEST(XenRefusals, MorePiecesOfWhatComesAgainThanAreKept) {
  Buffer recipe;
  put_text(recipe, "XENSAVE1");
  for (const unsigned byte : {0, 2, 1, 0, 60, 0, 2, 30}) put_le(recipe, byte, 1);  // frames 0 to 59, then every second one again
  for (unsigned run = 0; run < 30; ++run) {
    for (const unsigned byte : {0u, 1u, run == 0 ? 119u : 2u}) put_le(recipe, byte, 1);
  }
  put_le(recipe, 0, 1);
  const std::size_t marked_bytes = recipe.size() + 59 * 3;
  Buffer marked = recipe;
  const auto done = mark_superseded(marked, marked_bytes);
  ASSERT_TRUE(done) << explain(done.error());
  EXPECT_EQ(*done, 30u);
  EXPECT_EQ(marked.size(), marked_bytes);
  const auto refused = mark_superseded(recipe, recipe.size());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kLimit);
}

TEST(XenRefusals, StopsWhenCancelled) {
  const XenSave save = live();
  const std::atomic<bool> cancel = true;
  ImportOptions options;
  options.cancel = &cancel;
  EXPECT_EQ(import_save(save.file, 1u << 20, options).error.code, Code::kCancelled);
}

// ---- Snapshots that do not give a save file ----

Buffer write_snapshot(const Buffer& ram, const Buffer* recipe, const Buffer& superseded, const Metadata& metadata) {
  Buffer file;
  const auto sink = memory_sink(file);
  WriterOptions how;
  how.threads = 0;
  auto writer = Writer::create(*sink, how);
  EXPECT_TRUE(writer);
  for (const auto& [key, value] : metadata) EXPECT_TRUE((*writer)->set_metadata(key, value));
  EXPECT_TRUE((*writer)->begin_region({RegionKind::kMemory, "ram", ram.size(), 12, {}}));
  EXPECT_TRUE((*writer)->write(ram));
  EXPECT_TRUE((*writer)->end_region());
  if (recipe != nullptr) {
    EXPECT_TRUE(write_state(**writer, "xen.recipe", *recipe));
  }
  if (!superseded.empty()) {
    EXPECT_TRUE(write_state(**writer, "xen.superseded", superseded));
  }
  EXPECT_TRUE((*writer)->finish());
  return file;
}

/// A recipe for a file of `bytes` bytes, of operations as docs/import-xen.md has them.
Buffer recipe_of(std::uint8_t bytes, std::initializer_list<unsigned> operations) {
  Buffer recipe;
  put_text(recipe, "XENSAVE1");
  put_le(recipe, bytes, 1);
  for (const unsigned byte : operations) put_le(recipe, byte, 1);
  return recipe;
}

TEST(XenExport, TellsWhetherItIsTheFileImported) {
  const Buffer recipe = recipe_of(3, {1, 3, 'a', 'b', 'c', 0});
  const XenFile unknown = export_save(write_snapshot({}, &recipe, {}, {}));
  EXPECT_EQ(unknown.error.code, Code::kOk);
  EXPECT_FALSE(unknown.report.digest_known);
  EXPECT_EQ(unknown.bytes.size(), 3u);
  const XenFile other = export_save(write_snapshot({}, &recipe, {}, {{"xen.save.blake3", std::string(64, '0')}}));
  EXPECT_TRUE(other.report.digest_known);
  EXPECT_FALSE(other.report.identical);
}

TEST(XenExport, RefusesWhatIsNoXenSnapshot) { EXPECT_EQ(export_save(write_snapshot(Buffer(4096), nullptr, {}, {})).error.code, Code::kNotFound); }

TEST(XenExport, RefusesDamagedRecipes) {
  const auto refuse = [](const Buffer& recipe, std::string_view cause, const Buffer& superseded = {}) {
    for (const unsigned threads : {0u, 2u}) {
      const XenFile file = export_save(write_snapshot(Buffer(2 * 4096), &recipe, superseded, {}), threads);
      EXPECT_EQ(file.error.code, Code::kCorrupt) << explain(file.error);
      EXPECT_NE(std::string_view(file.error.what).find(cause), std::string_view::npos) << file.error.what;
    }
  };
  Buffer other;
  put_text(other, "XENSAVE2");
  refuse(other, "not a recipe");
  refuse({}, "not a recipe");
  other = recipe_of(0, {});
  other.pop_back();
  refuse(other, "damaged");                                            // no size
  refuse(recipe_of(0, {}), "damaged");                                 // no END
  refuse(recipe_of(0, {0, 0}), "damaged");                             // bytes behind END
  refuse(recipe_of(0, {3, 0}), "damaged");                             // an operation that is none
  refuse(recipe_of(9, {1, 9, 'a', 0}), "damaged");                     // a literal that ends early
  refuse(recipe_of(0, {2, 0, 0}), "damaged");                          // a record without runs
  refuse(recipe_of(99, {2, 1, 5, 1, 0, 0}), "damaged");                // a type that is none
  refuse(recipe_of(99, {2, 1, 31, 1, 0, 0}), "damaged");               // superseded without a body
  refuse(recipe_of(99, {2, 1, 32, 1, 0, 0}), "damaged");               // an unknown bit
  refuse(recipe_of(99, {2, 1, 15, 0, 0, 0}), "damaged");               // an empty run
  refuse(recipe_of(99, {2, 1, 15, 1, 1, 0}), "damaged");               // in front of frame 0
  refuse(recipe_of(99, {2, 1, 15, 0x81, 0x80, 4, 0, 0}), "damaged");   // 65537 frames
  refuse(recipe_of(99, {2, 2, 15, 0x80, 0x80, 4, 0, 15, 1, 0, 0}), "damaged");
  refuse(recipe_of(99, {2, 1, 15, 1}), "damaged");
  refuse(recipe_of(2, {1, 3, 'a', 'b', 'c', 0}), "another size");
  refuse(recipe_of(4, {1, 3, 'a', 'b', 'c', 0}), "another size");
  refuse(recipe_of(23, {2, 1, 15, 1, 0, 0}), "another size");
  const unsigned pages = 3 * 4096 + 40;                                // does not fit a byte: two of the size's
  Buffer past = recipe_of(static_cast<std::uint8_t>(pages % 128 | 128), {pages / 128, 2, 1, 0, 3, 0, 0});
  refuse(past, "past the end of memory");
  const unsigned one = 4096 + 24;
  Buffer superseded = recipe_of(static_cast<std::uint8_t>(one % 128 | 128), {one / 128, 2, 1, 16, 1, 0, 0});
  refuse(superseded, "past the end of memory");
  refuse(superseded, "past the end of memory", Buffer(100));
}

}  // namespace
}  // namespace snap::test
