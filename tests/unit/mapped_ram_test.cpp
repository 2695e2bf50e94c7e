// SPDX-License-Identifier: Apache-2.0
// Mapped-ram files out, read byte by byte and imported again.
#include <random>

#include "snap/import.h"
#include "support/memory_snapshot.h"
#include "support/sample.h"
#include "support/temporary.h"

namespace snap::test {
namespace {

using Buffer = std::vector<std::byte>;

/// A migration stream by hand.
class StreamBuilder {
 public:
  template <typename Host>
  StreamBuilder& be(Host value) {
    for (unsigned shift = 8 * sizeof(Host); shift != 0; shift -= 8) bytes_.push_back(static_cast<std::byte>(value >> (shift - 8)));
    return *this;
  }
  StreamBuilder& text(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  StreamBuilder& short_text(std::string_view text) { return be(static_cast<std::uint8_t>(text.size())).text(text); }
  StreamBuilder& put(const Buffer& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  StreamBuilder& footer(std::uint32_t id) { return be(std::uint8_t{0x7e}).be(id); }
  StreamBuilder& end_of_records(std::uint32_t id) { return be(std::uint64_t{0x10}).footer(id); }
  Buffer& bytes() { return bytes_; }

 private:
  Buffer bytes_;
};

struct Block {
  std::string name;
  std::size_t pages = 0;
  std::vector<std::size_t> full;  ///< pages that are not zero
};

Buffer page(std::size_t number) {
  std::mt19937 random(static_cast<unsigned>(number));
  Buffer bytes(4096);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

constexpr std::string_view kUuid = "configuration/uuid";
constexpr std::uint32_t kRamId = 3;

/// What stands in front of the RAM; `uuid`: with a subsection that mapped-ram does not touch.
void put_head(StreamBuilder& stream, bool uuid) {
  stream.text("QEVM").be(std::uint32_t{3}).be(std::uint8_t{7}).be(std::uint32_t{7}).text("pc-test");
  if (uuid) stream.be(std::uint8_t{5}).short_text(kUuid).be(std::uint32_t{1}).text("0123456789abcdef");
}
void put_start(StreamBuilder& stream, const std::vector<Block>& blocks) {
  std::uint64_t total = 0;
  for (const Block& block : blocks) total += block.pages * 4096;
  stream.be(std::uint8_t{1}).be(kRamId).short_text("ram").be(std::uint32_t{0}).be(std::uint32_t{4}).be(total | 4);
}
void put_devices(StreamBuilder& stream) {
  stream.be(std::uint8_t{4}).be(std::uint32_t{9}).short_text("dev").be(std::uint32_t{0}).be(std::uint32_t{1}).text("state").footer(9);
  stream.be(std::uint8_t{0}).be(std::uint8_t{6}).be(std::uint32_t{2}).text("{}");
}

Buffer migration(const std::vector<Block>& blocks, bool uuid = false) {
  StreamBuilder stream;
  put_head(stream, uuid);
  put_start(stream, blocks);
  for (const Block& block : blocks) stream.short_text(block.name).be(std::uint64_t{block.pages} * 4096);
  stream.end_of_records(kRamId).be(std::uint8_t{3}).be(kRamId);
  for (const Block& block : blocks) {
    for (const std::size_t number : block.full) {
      stream.be((std::uint64_t{number} * 4096) | 8).short_text(block.name).put(page(number));
    }
  }
  stream.end_of_records(kRamId);
  put_devices(stream);
  return stream.bytes();
}

/// The file that QEMU would write of the same guest.
Buffer mapped(const std::vector<Block>& blocks, bool uuid = false) {
  StreamBuilder stream;
  put_head(stream, uuid);
  stream.be(std::uint8_t{5}).short_text("configuration/capabilities").be(std::uint32_t{1}).be(std::uint32_t{1}).short_text("mapped-ram");
  put_start(stream, blocks);
  for (const Block& block : blocks) {
    stream.short_text(block.name).be(std::uint64_t{block.pages} * 4096);
    const std::size_t bitmap_at = stream.bytes().size() + 28;
    const std::size_t bitmap_bytes = (block.pages + 63) / 64 * 8;
    const std::size_t pages_at = (bitmap_at + bitmap_bytes + 0xfffff) / 0x100000 * 0x100000;
    stream.be(std::uint32_t{1}).be(std::uint64_t{4096}).be(std::uint64_t{bitmap_at}).be(std::uint64_t{pages_at});
    stream.bytes().resize(pages_at + block.pages * 4096);
    for (const std::size_t number : block.full) {
      stream.bytes()[bitmap_at + number / 8] |= std::byte{1} << number % 8;
      const Buffer content = page(number);
      std::copy(content.begin(), content.end(), stream.bytes().begin() + static_cast<std::ptrdiff_t>(pages_at + number * 4096));
    }
  }
  stream.end_of_records(kRamId).be(std::uint8_t{3}).be(kRamId).end_of_records(kRamId);
  put_devices(stream);
  return stream.bytes();
}

/// A snapshot of a stream: the file.
Result<Buffer> imported(const Buffer& stream, Reader* parent = nullptr) {
  Buffer file;
  const auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {.parent = parent});
  if (!writer) return writer.error();
  const auto source = memory_source(stream);
  const auto bytes = range_stream(*source, 0, stream.size());
  if (const auto done = import_qemu(*bytes, **writer, {}); !done) return done.error();
  if (const auto done = (*writer)->finish(); !done) return done.error();
  return file;
}

Result<Buffer> exported(Reader& reader, bool zero = true) {
  TemporaryFile file;
  if (!zero) {
    const Buffer old(3u << 20, std::byte{0xee});
    EXPECT_EQ(::pwrite(file.fd(), old.data(), old.size(), 0), static_cast<ssize_t>(old.size()));
  }
  if (const auto done = export_mapped_ram(reader, file.fd(), {.target_is_zero = zero}); !done) return done.error();
  return file.bytes();
}

const std::vector<Block> kGuest = {{"pc.ram", 600, {0, 1, 7, 8, 63, 64, 100, 599}}, {"rom", 65, {64}}, {"empty", 1, {}}};

TEST(MappedRam, IsWhatQemuWrites) {
  for (const bool uuid : {false, true}) {
    const auto file = imported(migration(kGuest, uuid));
    ASSERT_OK(file);
    const auto source = memory_source(*file);
    const auto reader = Reader::open(*source);
    ASSERT_OK(reader);
    const auto out = exported(**reader);
    ASSERT_OK(out);
    EXPECT_TRUE(*out == mapped(kGuest, uuid));
  }
}

TEST(MappedRam, ComesBackEqual) {
  const Buffer truth = mapped(kGuest);
  const auto file = imported(truth);
  ASSERT_OK(file);
  const auto source = memory_source(*file);
  const auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  const auto out = exported(**reader);
  ASSERT_OK(out);
  EXPECT_TRUE(*out == truth);
  // What stood in the file before shows nowhere where a bitmap says there is a page, or none.
  const auto over = exported(**reader, false);
  ASSERT_OK(over);
  const auto again = imported(*over);
  ASSERT_OK(again);
  const auto again_source = memory_source(*again);
  const auto again_reader = Reader::open(*again_source);
  ASSERT_OK(again_reader);
  EXPECT_EQ((*again_reader)->region_digest(0), (*reader)->region_digest(0));
  EXPECT_EQ((*again_reader)->region_digest(1), (*reader)->region_digest(1));
}

TEST(MappedRam, KnowsAChildsPagesThroughItsParent) {
  const auto base = imported(migration(kGuest));
  ASSERT_OK(base);
  const auto base_source = memory_source(*base);
  const auto base_reader = Reader::open(*base_source);
  ASSERT_OK(base_reader);
  // Page 1 became zero, page 300 came, page 9999 of the parent is gone with the block's end.
  const std::vector<Block> later = {{"pc.ram", 500, {0, 7, 8, 63, 64, 100, 300}}, {"rom", 65, {64}}, {"empty", 1, {}}};
  const auto child = imported(migration(later), base_reader->get());
  ASSERT_OK(child);
  const auto source = memory_source(*child);
  const auto reader = Reader::open(*source, {.parent = base_reader->get()});
  ASSERT_OK(reader);
  const auto out = exported(**reader);
  ASSERT_OK(out);
  EXPECT_TRUE(*out == mapped(later));
}

TEST(MappedRam, NeedsASnapshotOfAMigrationStream) {
  Sample sample;
  sample.add(RegionKind::kMemory, "ram", page(1));
  const Bytes file = make_file(sample);
  const auto source = memory_source(file);
  const auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  EXPECT_EQ(exported(**reader).error().code, Code::kNotFound);
}

TEST(MappedRam, NeedsAConfiguration) {
  Buffer stream = migration(kGuest);
  stream.erase(stream.begin() + 8, stream.begin() + 8 + 1 + 4 + 7);  // pc-0.13 and the like have none
  const auto file = imported(stream);
  ASSERT_OK(file);
  const auto source = memory_source(*file);
  const auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  EXPECT_EQ(exported(**reader).error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace snap::test
