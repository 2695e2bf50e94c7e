// SPDX-License-Identifier: Apache-2.0
// Save images of libvirt built byte by byte: what is taken, what is kept, every refusal, and back.
#include <gtest/gtest.h>

#include <string>

#include "snap/import.h"
#include "support/compress.h"
#include "support/memory_snapshot.h"

namespace snap::test {
namespace {

constexpr std::string_view kXml = "<domain type='qemu'>\n  <name>lead guest</name>\n</domain>";
constexpr std::string_view kCookie = "<cookie><cpu/></cookie>";
constexpr std::size_t kHeader = 92, kRam = 16 * 4096;

Bytes ram() {
  Bytes bytes(kRam);
  for (std::size_t i = 0; i < 9 * 4096; ++i) bytes[i] = static_cast<std::byte>(i / 4096 * 37 + i % 4096 % 251);
  return bytes;
}

/// A migration stream with one RAM block and no device.
Bytes stream() {
  Bytes out;
  const auto text = [&](std::string_view piece) { append(out, bytes_of(piece)); };
  const auto short_text = [&](std::string_view piece) {
    append_be(out, static_cast<std::uint8_t>(piece.size()));
    text(piece);
  };
  const auto footer = [&] {
    append_be(out, std::uint64_t{0x10});
    append_be(out, std::uint8_t{0x7e});
    append_be(out, std::uint32_t{2});
  };
  text(std::string_view("QEVM\0\0\0\3\7\0\0\0\x0dpc-i440fx-7.2", 8 + 5 + 13));
  text(std::string_view("\1\0\0\0\2", 5));
  short_text("ram");
  text(std::string_view("\0\0\0\0\0\0\0\4", 8));
  append_be(out, std::uint64_t{kRam | 0x04});
  short_text("pc.ram");
  append_be(out, std::uint64_t{kRam});
  footer();
  text(std::string_view("\3\0\0\0\2", 5));
  const Bytes memory = ram();
  for (std::uint64_t at = 0; at < kRam; at += 4096) {
    const bool zero = at >= 9 * 4096;
    append_be(out, at | (zero ? 0x02u : 0x08u) | (at != 0 ? 0x20u : 0u));
    if (at == 0) short_text("pc.ram");
    if (zero) {
      append_be(out, std::uint8_t{0});
    } else {
      append(out, std::span(memory).subspan(at, 4096));
    }
  }
  footer();
  const std::string_view json = R"({"page_size": 4096, "devices": []})";
  text(std::string_view("\0\6", 2));
  append_be(out, static_cast<std::uint32_t>(json.size()));
  text(json);
  return out;
}

struct Maker {
  std::string magic = "LibvirtQemudSave";
  std::uint32_t version = 2, was_running = 0, format = 0;
  std::optional<std::uint32_t> data_len{}, cookie_offset{};
  bool swapped = false;
  std::byte unused{0};

  Bytes front() const {
    Bytes data;
    append(data, bytes_of(kXml));
    data.push_back(std::byte{0});
    const auto cookie_at = static_cast<std::uint32_t>(data.size());
    append(data, bytes_of(kCookie));
    data.resize(data.size() + 1 + 300);
    Bytes out;
    append(out, bytes_of(std::string_view(magic)));
    for (const std::uint32_t field : {version, data_len.value_or(static_cast<std::uint32_t>(data.size())), was_running, format,
                                      cookie_offset.value_or(cookie_at)}) {
      const std::uint32_t value = swapped ? __builtin_bswap32(field) : field;
      append(out, std::as_bytes(std::span(&value, 1)));
    }
    out.resize(kHeader, unused);
    append(out, data);
    return out;
  }
};

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) append(all, part);
  return all;
}
Bytes header_of(const Maker& maker) {
  Bytes front = maker.front();
  front.resize(kHeader);
  return front;
}

Result<void> import_into(MemorySnapshot& snapshot, std::span<const std::byte> image) {
  const auto memory = memory_source(image);
  const auto source = range_stream(*memory, 0, image.size());
  MemoryWriter writer(snapshot);
  const auto imported = import_libvirt(*source, writer, {});
  if (!imported) return imported.error();
  EXPECT_EQ(*imported, nullptr);
  return {};
}
Error error_of(std::span<const std::byte> image) {
  MemorySnapshot snapshot;
  const auto done = import_into(snapshot, image);
  return done ? Error{} : done.error();
}

Result<Bytes> export_of(MemorySnapshot& snapshot, std::string_view xml = {}) {
  std::vector<std::byte> out;
  const auto sink = memory_sink(out);
  MemoryReader reader(snapshot);
  SNAP_TRY(export_libvirt(reader, *sink, {.threads = 0}, xml));
  return out;
}

TEST(Libvirt, TakesImagesOfEitherByteOrder) {
  const Maker makers[] = {{},
                          {.swapped = true},
                          {.version = 1},
                          {.version = 1, .cookie_offset = 0, .swapped = true},
                          {.was_running = 1},
                          {.was_running = 256},
                          {.unused = std::byte{0xff}}};
  for (const Maker& maker : makers) {
    MemorySnapshot snapshot;
    const auto done = import_into(snapshot, joined({maker.front(), stream()}));
    ASSERT_TRUE(done) << done.error().what;
    EXPECT_TRUE(snapshot.bytes("pc.ram") == ram());
    EXPECT_TRUE(snapshot.bytes("libvirt.header") == maker.front());
    EXPECT_EQ(snapshot.metadata.at("source.format"), "libvirt");
    EXPECT_EQ(snapshot.metadata.at("libvirt.format"), "raw");
    EXPECT_EQ(snapshot.metadata.at("libvirt.domain"), "lead guest");
    EXPECT_EQ(snapshot.metadata.at("libvirt.was_running"), maker.was_running != 0 ? "1" : "0");
    EXPECT_EQ(snapshot.metadata.at("machine"), "pc-i440fx-7.2");
  }
}

TEST(Libvirt, TakesEachCompressor) {
  const struct {
    std::uint32_t format;
    const char* name;
    Bytes (*compress)(std::span<const std::byte>);
  } formats[] = {{1, "gzip", gzip_plain}, {2, "bzip2", bzip2}, {3, "xz", xz}, {3, "xz", lzma}, {4, "lzop", lzop}, {5, "zstd", zstd}};
  for (const auto& each : formats) {
    for (const bool partial : {false, true}) {
      const Maker whole{.format = each.format};
      Maker maker = whole;
      if (partial) maker.magic = "LibvirtQemudPart";
      MemorySnapshot snapshot;
      const auto done = import_into(snapshot, joined({maker.front(), each.compress(stream()), partial ? header_of(whole) : Bytes()}));
      ASSERT_TRUE(done) << each.name << ": " << done.error().what;
      EXPECT_TRUE(snapshot.bytes("pc.ram") == ram());
      EXPECT_TRUE(snapshot.bytes("libvirt.header") == whole.front());
      EXPECT_EQ(snapshot.metadata.at("libvirt.format"), each.name);
    }
  }
}

TEST(Libvirt, TakesWhatWasSavedIntoAPipe) {
  const Bytes part = Maker{.magic = "LibvirtQemudPart"}.front();
  const Bytes complete = header_of({});
  MemorySnapshot snapshot;
  const auto done = import_into(snapshot, joined({part, stream(), complete}));
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_TRUE(snapshot.bytes("pc.ram") == ram());
  EXPECT_TRUE(snapshot.bytes("libvirt.header") == Maker().front());

  Bytes other = complete;
  other[40] ^= std::byte{1};
  const Bytes incomplete[] = {joined({part, stream()}), joined({part, stream(), other}), joined({part, stream(), header_of({.magic = "LibvirtQemudPart"})}),
                              joined({part, complete}), joined({part, stream(), Bytes(complete.begin(), complete.end() - 1)}), part};
  for (const Bytes& image : incomplete) {
    const Error error = error_of(image);
    EXPECT_EQ(error.code, Code::kTruncated) << error.what;
    EXPECT_NE(std::string(error.what).find("incomplete"), std::string::npos) << error.what;
  }
  const Maker sparse{.magic = "LibvirtQemudPart", .format = 6};
  EXPECT_EQ(error_of(joined({sparse.front(), stream(), header_of({.format = 6})})).code, Code::kTruncated);
}

TEST(Libvirt, RefusesEachWrongField) {
  const struct {
    Maker maker;
    Code code;
    std::uint64_t offset;
  } wrong[] = {
      {{.magic = "LibvirtQemudXave"}, Code::kCorrupt, 0},
      {{.version = 3}, Code::kUnsupported, 16},
      {{.version = 3, .swapped = true}, Code::kUnsupported, 16},
      {{.version = 0}, Code::kUnsupported, 16},
      {{.data_len = 0, .cookie_offset = 0}, Code::kCorrupt, 20},
      {{.data_len = (64u << 20) + 1}, Code::kLimit, 20},
      {{.data_len = 0xffffffff}, Code::kLimit, 20},
      {{.format = 7}, Code::kUnsupported, 28},
      {{.format = 0x01000000}, Code::kUnsupported, 28},
      {{.cookie_offset = 100'000}, Code::kCorrupt, 32},
      {{.cookie_offset = 0xffffffff}, Code::kCorrupt, 32},
  };
  for (const auto& each : wrong) {
    const Error error = error_of(joined({each.maker.front(), stream()}));
    EXPECT_EQ(error.code, each.code) << error.what;
    EXPECT_EQ(error.file_offset, each.offset) << error.what;
  }
}

TEST(Libvirt, RefusesWhatTheHeaderLiesAbout) {
  const Bytes all = stream();
  EXPECT_EQ(error_of(joined({Maker{.data_len = 64u << 20}.front(), all})).code, Code::kTruncated);
  EXPECT_EQ(error_of(joined({Maker{.data_len = 200, .cookie_offset = 0}.front(), all})).code, Code::kCorrupt);
  for (std::uint32_t format = 1; format < 6; ++format) EXPECT_NE(error_of(joined({Maker{.format = format}.front(), all})).code, Code::kOk);
  EXPECT_NE(error_of(joined({Maker().front(), gzip(all)})).code, Code::kOk);
  EXPECT_NE(error_of(joined({Maker{.format = 1}.front(), zstd(all)})).code, Code::kOk);
  EXPECT_NE(error_of(joined({Maker().front(), all, Bytes(5000, std::byte{'x'})})).code, Code::kOk);
  EXPECT_NE(error_of(joined({Maker{.format = 1}.front(), gzip(all), Bytes(5000, std::byte{'x'})})).code, Code::kOk);
  // Damage in compressed data is told by its place in the image.
  Bytes damaged = joined({Maker{.format = 4}.front(), lzop(all)});
  damaged.back() ^= std::byte{1};
  damaged[damaged.size() - 5] ^= std::byte{0xff};
  EXPECT_GT(error_of(damaged).file_offset, Maker().front().size());
  EXPECT_LE(error_of(damaged).file_offset, damaged.size());
}

TEST(Libvirt, CutAnywhereItFails) {
  for (const Bytes& image : {joined({Maker().front(), stream()}), joined({Maker{.format = 1}.front(), gzip(stream())})}) {
    for (std::size_t cut = 0; cut < image.size(); cut += cut < 600 || cut + 300 > image.size() ? 1 : 97) {
      const Error error = error_of(std::span(image).first(cut));
      ASSERT_EQ(error.code, Code::kTruncated) << "cut at " << cut << ": " << error.what;
      EXPECT_LE(error.file_offset, std::max<std::size_t>(cut, 1) + kRam * 2);
    }
  }
}

TEST(Libvirt, ComesBackWithItsHeader) {
  for (const Maker& maker : {Maker{.was_running = 1, .unused = std::byte{7}}, Maker{.was_running = 1, .format = 5, .swapped = true, .unused = std::byte{7}}}) {
    MemorySnapshot snapshot;
    ASSERT_TRUE(import_into(snapshot, joined({maker.front(), maker.format == 5 ? zstd(stream()) : stream()})));
    const auto image = export_of(snapshot);
    ASSERT_TRUE(image) << image.error().what;
    const Bytes want = Maker{.was_running = 1, .unused = std::byte{7}}.front();
    ASSERT_GT(image->size(), want.size());
    EXPECT_TRUE(std::equal(want.begin(), want.end(), image->begin()));
    MemorySnapshot again;
    const auto done = import_into(again, *image);
    ASSERT_TRUE(done) << done.error().what;
    EXPECT_TRUE(again.bytes("pc.ram") == ram());
    EXPECT_TRUE(again.bytes("qemu.stream.devices") == snapshot.bytes("qemu.stream.devices"));
  }
}

TEST(Libvirt, TakesAnotherXml) {
  constexpr std::string_view kNew = "<domain><name>other</name></domain>";
  MemorySnapshot bare;
  const Bytes migration = stream();
  const auto memory = memory_source(migration);
  const auto source = range_stream(*memory, 0, migration.size());
  MemoryWriter writer(bare);
  ASSERT_TRUE(import_qemu(*source, writer, {}));
  EXPECT_EQ(export_of(bare).error().code, Code::kNotFound);
  EXPECT_EQ(export_of(bare, "some text").error().code, Code::kInvalidArgument);
  EXPECT_EQ(export_of(bare, std::string_view("<domain\0>", 9)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(export_of(bare, std::string(17u << 20, ' ') + "<domain/>").error().code, Code::kInvalidArgument);

  MemorySnapshot saved;
  ASSERT_TRUE(import_into(saved, joined({Maker{.was_running = 1}.front(), stream()})));
  bare.metadata["qemu.runstate"] = "running";
  for (MemorySnapshot* snapshot : {&bare, &saved}) {
    const auto image = export_of(*snapshot, std::string(kNew) + "\n");
    ASSERT_TRUE(image) << image.error().what;
    MemorySnapshot again;
    ASSERT_TRUE(import_into(again, *image));
    EXPECT_EQ(again.metadata.at("libvirt.domain"), "other");
    EXPECT_EQ(again.metadata.at("libvirt.was_running"), "1");
    const Bytes front = again.bytes("libvirt.header");
    const std::size_t cookie_bytes = snapshot == &saved ? kCookie.size() + 1 : 0;
    EXPECT_EQ(front.size(), kHeader + kNew.size() + 1 + cookie_bytes + 65536);
    EXPECT_EQ(text_of(front).substr(kHeader, kNew.size()), kNew);
    const std::string_view behind = text_of(front).substr(kHeader + kNew.size() + 1, kCookie.size());
    EXPECT_EQ(behind == kCookie, cookie_bytes != 0);
  }
}

TEST(Libvirt, DoesNotWriteAHeaderThatLies) {
  for (const Bytes& state : {Bytes(), Bytes(kHeader), joined({Maker().front(), Bytes(1)}), Maker{.cookie_offset = 100'000}.front()}) {
    MemorySnapshot snapshot;
    ASSERT_TRUE(import_into(snapshot, joined({Maker().front(), stream()})));
    std::erase_if(snapshot.regions, [](const MemoryRegion& region) { return region.info.name == "libvirt.header"; });
    MemoryWriter writer(snapshot);
    ASSERT_TRUE(write_state(writer, "libvirt.header", state));
    EXPECT_FALSE(export_of(snapshot));
  }
  // Nothing is written before what follows is known to be there.
  MemorySnapshot snapshot;
  MemoryWriter writer(snapshot);
  ASSERT_TRUE(write_state(writer, "libvirt.header", Maker().front()));
  std::vector<std::byte> out;
  const auto sink = memory_sink(out);
  MemoryReader reader(snapshot);
  EXPECT_EQ(export_libvirt(reader, *sink, {}).error().code, Code::kNotFound);
  EXPECT_TRUE(out.empty());
}

TEST(Libvirt, IsDetectedAlsoWhereCompressed) {
  const Bytes image = joined({Maker().front(), stream()});
  EXPECT_EQ(detect_format(image), Format::kLibvirt);
  EXPECT_EQ(detect_bytes(image), 512u);
  for (const Compressor& compressor : kCompressors) {
    const Bytes packed = compressor.compress(stream());
    EXPECT_GT(detect_bytes(packed), 900'000u);
    EXPECT_EQ(detect_format(packed), Format::kQemu) << compressor.name;
    EXPECT_EQ(detect_format(compressor.compress(image)), Format::kLibvirt) << compressor.name;
    EXPECT_EQ(detect_format(compressor.compress(ram())), Format::kRaw) << compressor.name;
    EXPECT_EQ(detect_format(compressor.compress(packed)), Format::kRaw) << compressor.name;
    EXPECT_EQ(detect_format(std::span(packed).first(12)), Format::kRaw) << compressor.name;

    const auto memory = memory_source(packed);
    const auto source = range_stream(*memory, 0, packed.size());
    MemorySnapshot snapshot;
    MemoryWriter writer(snapshot);
    const auto imported = import_qemu(*source, writer, {});
    ASSERT_TRUE(imported) << compressor.name << ": " << imported.error().what;
    EXPECT_TRUE(snapshot.bytes("pc.ram") == ram());
    EXPECT_EQ(snapshot.metadata.at("source.compression"), compression_name(compressor.compression));
  }
}

}  // namespace
}  // namespace snap::test
