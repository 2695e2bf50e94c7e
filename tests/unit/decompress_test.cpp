// SPDX-License-Identifier: Apache-2.0
// Each compressor's streams: whole, in pieces, one behind another, cut, damaged, with something behind them.
#include <gtest/gtest.h>

#include <string>

#include "support/compress.h"
#include "support/corrected_import.h"

namespace snap::test {
namespace {

Result<Bytes> decompress(Compression compression, std::span<const std::byte> bytes, std::size_t piece = 1 << 20, std::size_t out_bytes = 64 * 1024) {
  Trickle source(bytes, piece);
  const ImportOptions options;
  ForwardStream stream(source, options);
  const auto inside = decompressed(stream, compression);
  Bytes all, buffer(out_bytes);
  while (true) {
    SNAP_TRY_ASSIGN(got, inside->read(buffer));
    if (got == 0) return all;
    append(all, std::span(buffer).first(got));
  }
}

/// Some of it is compressible.
Bytes content_of(std::size_t size) {
  Bytes bytes(size);
  std::uint32_t state = 12345;
  for (std::size_t i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    bytes[i] = static_cast<std::byte>(i / 512 % 3 == 0 ? state >> 24 : i % 7);
  }
  return bytes;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) append(all, part);
  return all;
}

TEST(Decompress, GivesWhatWasCompressed) {
  for (const Compressor& compressor : kCompressors) {
    for (const std::size_t size : {0, 1, 4096, 700'000}) {
      const Bytes content = content_of(size);
      const Bytes packed = compressor.compress(content);
      EXPECT_EQ(compression_of(packed), compressor.compression) << compressor.name;
      for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4099}, std::size_t{1} << 20}) {
        if (piece == 1 && size > 4096) continue;
        const auto got = decompress(compressor.compression, packed, piece, size > 4096 ? 4099 : 3);
        ASSERT_TRUE(got) << compressor.name << ": " << got.error().what;
        EXPECT_TRUE(*got == content) << compressor.name << " " << size;
      }
    }
  }
}

TEST(Decompress, TakesSeveralStreamsAndZerosBehind) {
  const Bytes first = content_of(5000), second = content_of(300), both = joined({first, second});
  for (const Compressor& compressor : kCompressors) {
    const Bytes packed = joined({compressor.compress(first), compressor.compress(second), Bytes(5000)});
    for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, std::size_t{1} << 20}) {
      const auto got = decompress(compressor.compression, packed, piece);
      ASSERT_TRUE(got) << compressor.name << ": " << got.error().what;
      EXPECT_TRUE(*got == both) << compressor.name;
    }
  }
}

TEST(Decompress, CutAnywhereItFails) {
  const Bytes content = content_of(2000);
  for (const Compressor& compressor : kCompressors) {
    const Bytes packed = compressor.compress(content);
    for (std::size_t cut = 0; cut < packed.size(); ++cut) {
      const auto got = decompress(compressor.compression, std::span(packed).first(cut), 100);
      ASSERT_FALSE(got) << compressor.name << " cut at " << cut;
      EXPECT_EQ(got.error().code, Code::kTruncated) << compressor.name << " cut at " << cut << ": " << got.error().what;
      EXPECT_LE(got.error().file_offset, cut);
    }
  }
}

TEST(Decompress, NoDamageGivesOtherContent) {
  const Bytes content = content_of(1500);
  for (const Compressor& compressor : kCompressors) {
    if (!compressor.checked) continue;
    const Bytes packed = compressor.compress(content);
    std::size_t failed = 0;
    for (std::size_t at = 0; at < packed.size() * 8; ++at) {
      Bytes damaged = packed;
      damaged[at / 8] ^= std::byte{1} << at % 8;
      const auto got = decompress(compressor.compression, damaged);
      EXPECT_TRUE(!got || *got == content) << compressor.name << " bit " << at;
      EXPECT_TRUE(got || got.error().file_offset <= packed.size()) << compressor.name << " bit " << at;
      failed += !got;
    }
    EXPECT_GE(failed, packed.size() * 7) << compressor.name;  // of a gzip header's time nobody minds
  }
}

TEST(Decompress, RefusesAnythingBehind) {
  for (const Compressor& compressor : kCompressors) {
    const Bytes packed = compressor.compress(content_of(3000));
    for (const std::size_t zeros : {0, 8}) {
      const Bytes garbage = joined({packed, Bytes(zeros), Bytes(600, std::byte{'x'})});
      const auto got = decompress(compressor.compression, garbage);
      ASSERT_FALSE(got) << compressor.name;
      EXPECT_NE(got.error().code, Code::kOk);
      EXPECT_GE(got.error().file_offset, packed.size()) << compressor.name << ": " << got.error().what;
    }
  }
}

TEST(Decompress, TakesAllOfAGzipHeader) {
  const Bytes content = content_of(1000);
  Bytes packed = gzip(content, "a name");
  for (const std::size_t piece : {1, 1000}) {
    const auto got = decompress(Compression::kGzip, packed, piece);
    ASSERT_TRUE(got) << got.error().what;
    EXPECT_TRUE(*got == content);
  }
  packed[20] ^= std::byte{1};  // in the name
  EXPECT_FALSE(decompress(Compression::kGzip, packed));
  packed[20] ^= std::byte{1};
  packed[3] |= std::byte{0x20};
  EXPECT_EQ(decompress(Compression::kGzip, packed).error().code, Code::kUnsupported);
}

TEST(Decompress, BoundsMemory) {
  Bytes large = lzma(content_of(1000));
  large[3] = std::byte{0};
  large[4] = std::byte{0x40};  // a dictionary of 1 GiB
  EXPECT_EQ(decompress(Compression::kXz, large).error().code, Code::kLimit);

  const auto frame = [](unsigned window_log) {
    Bytes bytes;
    append(bytes, bytes_of(std::string_view("\x28\xb5\x2f\xfd\0", 5)));
    bytes.push_back(static_cast<std::byte>((window_log - 10) << 3));
    append(bytes, bytes_of(std::string_view("\x09\0\0x", 4)));  // the last block, raw, of one byte
    return bytes;
  };
  EXPECT_TRUE(decompress(Compression::kZstd, frame(27)));
  EXPECT_EQ(decompress(Compression::kZstd, frame(28)).error().code, Code::kLimit);
}

TEST(Lzop, TakesAllThatAHeaderCanHave) {
  const Bytes content = content_of(40'000);
  const LzopMaker makers[] = {
      {.version = 0x0900},
      {.name = "guest.mem"},
      {.flags = 0x03000000},
      {.flags = 0x0300004f, .block_bytes = 1000},  // checks of what is stored; an extra field
      {.flags = 0x03001340, .name = "n", .block_bytes = 5000},
      {.method = 3},
  };
  for (const LzopMaker& maker : makers) {
    const auto got = decompress(Compression::kLzop, maker.file(content), 777);
    ASSERT_TRUE(got) << got.error().what;
    EXPECT_TRUE(*got == content);
  }
}

TEST(Lzop, RefusesEachWrongField) {
  const Bytes content = content_of(3000);
  const auto code_of = [](const Bytes& file) { return decompress(Compression::kLzop, file).error().code; };
  const struct {
    LzopMaker maker;
    Code code;
  } heads[] = {
      {{.version = 0x0800}, Code::kUnsupported}, {{.needed = 0x1050}, Code::kUnsupported},     {{.needed = 0x0800}, Code::kUnsupported},
      {{.method = 0}, Code::kUnsupported},       {{.method = 0x80}, Code::kUnsupported},       {{.flags = 0x400}, Code::kUnsupported},
      {{.flags = 0x800}, Code::kUnsupported},    {{.wrong_header = 1}, Code::kCorrupt},
      {{.flags = 0x1000, .wrong_header = 1}, Code::kCorrupt},
  };
  for (const auto& head : heads) EXPECT_EQ(code_of(head.maker.file(content)), head.code);

  const LzopMaker plain;
  const std::size_t block_at = plain.header().size();
  const auto with = [&](std::size_t at, std::uint32_t value) {
    Bytes file = plain.file(content), bytes;
    append_be(bytes, value);
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(block_at + at));
    return file;
  };
  EXPECT_EQ(code_of(with(0, kMostLzopBlock + 1)), Code::kLimit);
  EXPECT_EQ(code_of(with(0, 0xffffffff)), Code::kLimit);
  EXPECT_EQ(code_of(with(4, 3001)), Code::kCorrupt);
  EXPECT_EQ(code_of(with(4, 0)), Code::kCorrupt);
  EXPECT_EQ(code_of(with(8, 1)), Code::kCorrupt);
  EXPECT_EQ(decompress(Compression::kLzop, with(8, 1)).error().file_offset, block_at);
  EXPECT_EQ(code_of(with(0, 2999)), Code::kCorrupt);

  for (const std::uint32_t flags : {0x1u, 0x2u, 0x100u, 0x200u}) {  // one check alone, and that wrong
    Bytes file = LzopMaker{.flags = flags}.file(content);
    file[block_at + 8] ^= std::byte{1};
    EXPECT_EQ(code_of(file), Code::kCorrupt) << flags;
  }
}

}  // namespace
}  // namespace snap::test
