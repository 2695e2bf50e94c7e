// SPDX-License-Identifier: Apache-2.0
#include "codec/codec.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <zstd.h>

#include "codec/checksum.h"
#include "format/limits.h"
#include "support/sample.h"

namespace snap::test {
namespace {

Bytes compressed(Codec codec, std::span<const std::byte> in) {
  auto compressor = make_compressor(codec, default_level(codec));
  EXPECT_OK(compressor);
  Bytes out(compress_bound(codec, in.size()));
  const auto stored = (*compressor)->compress(in, out);
  EXPECT_OK(stored);
  out.resize(*stored);
  return out;
}

TEST(Codecs, AnswerNothingWhereTheDataDoesNotShrink) {
  for (const Codec codec : {Codec::kStore, Codec::kLz4, Codec::kZstd}) {
    EXPECT_TRUE(compressed(codec, make_content(Pattern::kRandom, 16384, 1)).empty());
  }
}

TEST(Codecs, DecodeToTheExactLengthOnly) {
  const Bytes in = make_content(Pattern::kText, 16384, 1);
  Decompressor decompressor;
  for (const Codec codec : {Codec::kLz4, Codec::kZstd}) {
    const Bytes stored = compressed(codec, in);
    ASSERT_FALSE(stored.empty());
    Bytes out(in.size());
    EXPECT_TRUE(decompressor.decompress(codec, stored, out));
    EXPECT_TRUE(out == in);
    for (const std::size_t other : {in.size() - 4096, in.size() - 1, in.size() + 1, in.size() + 4096}) {
      Bytes wrong(other);
      EXPECT_FALSE(decompressor.decompress(codec, stored, wrong));
    }
    for (std::size_t cut = 0; cut < stored.size(); cut += 7) EXPECT_FALSE(decompressor.decompress(codec, std::span(stored).first(cut), out));
    Bytes longer = stored;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decompressor.decompress(codec, longer, out));
  }
  Bytes out(10);
  EXPECT_FALSE(decompressor.decompress(Codec::kStore, std::span(in).first(11), out));
  EXPECT_TRUE(decompressor.decompress(Codec::kStore, std::span(in).first(10), out));
  EXPECT_FALSE(decompressor.decompress(static_cast<Codec>(3), std::span(in).first(10), out));
}

TEST(Codecs, NeverWriteOutsideTheTarget) {
  const Bytes in = make_content(Pattern::kText, 16384, 1);
  Decompressor decompressor;
  Random random(1);
  for (const Codec codec : {Codec::kLz4, Codec::kZstd}) {
    const Bytes stored = compressed(codec, in);
    for (int i = 0; i < 3000; ++i) {
      Bytes bad = stored;
      for (std::uint64_t n = 0; n <= random.below(5); ++n) bad[random.below(bad.size())] = static_cast<std::byte>(random.next());
      const auto exact = std::make_unique<std::byte[]>(in.size());  // its bounds are watched by AddressSanitizer
      static_cast<void>(decompressor.decompress(codec, bad, {exact.get(), in.size()}));
    }
  }
}

TEST(Codecs, RefuseOtherFormsOfZstd) {
  const Bytes in = make_content(Pattern::kText, 16384, 1);
  Decompressor decompressor;
  Bytes out(in.size());
  const auto frame = [&](auto set) {
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    set(context);
    Bytes bytes(ZSTD_compressBound(in.size()));
    bytes.resize(ZSTD_compress2(context, bytes.data(), bytes.size(), in.data(), in.size()));
    ZSTD_freeCCtx(context);
    return bytes;
  };
  EXPECT_TRUE(decompressor.decompress(Codec::kZstd, frame([](ZSTD_CCtx*) {}), out));
  EXPECT_FALSE(decompressor.decompress(Codec::kZstd, frame([](ZSTD_CCtx* c) { ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1); }), out));
  EXPECT_FALSE(decompressor.decompress(Codec::kZstd, frame([](ZSTD_CCtx* c) { ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0); }), out));
  // Two frames, and a skippable one before.
  const Bytes half = [&] {
    Bytes bytes(ZSTD_compressBound(in.size()));
    bytes.resize(ZSTD_compress(bytes.data(), bytes.size(), in.data(), in.size() / 2, 3));
    return bytes;
  }();
  Bytes two = half;
  two.insert(two.end(), half.begin(), half.end());
  EXPECT_FALSE(decompressor.decompress(Codec::kZstd, two, out));
  const Bytes whole = compressed(Codec::kZstd, in);
  Bytes skipped = {std::byte{0x50}, std::byte{0x2A}, std::byte{0x4D}, std::byte{0x18}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
  skipped.insert(skipped.end(), whole.begin(), whole.end());
  EXPECT_FALSE(decompressor.decompress(Codec::kZstd, skipped, out));
}

TEST(Checksums, OverTwoPiecesAreOverTheWhole) {
  const Bytes bytes = make_content(Pattern::kRandom, 1000, 1);
  for (const std::size_t cut : {0u, 1u, 56u, 240u, 999u, 1000u}) {
    EXPECT_EQ(check64(std::span(bytes).first(cut), std::span(bytes).subspan(cut), 77), check64(bytes, 77));
  }
  EXPECT_NE(check64(bytes, 1), check64(bytes, 2));
}

// Known answers of BLAKE3 and XXH3.
TEST(Checksums, AreThePublishedOnes) {
  EXPECT_EQ(to_hex(digest_of({})), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  EXPECT_EQ(check64({}, 0), 0x2D06800538D394C2u);
  EXPECT_EQ(to_hex(zero_digest(0)), "b6fb73fc46938c981e2b0b4b1ef282adcfc89854d01bfe3972fdc4785b41b2c7");
  EXPECT_EQ(to_hex(zero_digest(40)), "88b0ec3a43dbf11995b830fbdd47e7cd54e34da187468e8ac6d4114b692aac94");
}

TEST(Digests, OfManyAtOnceAreThoseOfEach) {
  for (const std::size_t count : {1u, 2u, 3u, 15u, 16u, 17u, 33u, 100u}) {
    const Bytes bytes = make_content(Pattern::kRandom, count * kPage, count);
    std::vector<const std::byte*> pages;
    for (std::size_t i = 0; i < count; ++i) pages.push_back(bytes.data() + i * kPage);
    std::vector<Digest> digests(count);
    page_digests(pages, digests.data());
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(digests[i], digest_of({pages[i], kPage}));
    const std::size_t pairs = count / 2;
    std::vector<Digest> parents(pairs);
    pair_digests(digests.data(), pairs, parents.data());
    std::vector<Digest> in_place = digests;
    pair_digests(in_place.data(), pairs, in_place.data());
    for (std::size_t i = 0; i < pairs; ++i) {
      EXPECT_EQ(parents[i], digest_of(std::as_bytes(std::span(digests).subspan(2 * i, 2))));
      EXPECT_EQ(parents[i], in_place[i]);
    }
  }
}

TEST(Digests, OfZerosAreThoseOfZeroPages) {
  for (unsigned height = 1; height <= format::kDigestTreeHeight; ++height) {
    const Digest pair[2] = {zero_digest(height - 1), zero_digest(height - 1)};
    EXPECT_EQ(zero_digest(height), digest_of(std::as_bytes(std::span(pair))));
    EXPECT_EQ(region_tree_digest(zero_digest(height), height), zero_digest(40));
  }
}

// The page's end is the last byte that may be read.
TEST(Digests, ReadNothingPastThePages) {
  for (std::size_t count = 1; count <= 20; ++count) {
    const std::size_t bytes = (count + 1) * kPageBytes;
    void* const mapped = ::mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(mapped, MAP_FAILED);
    auto* const end = static_cast<std::byte*>(mapped) + bytes;
    ASSERT_EQ(::mprotect(end, bytes, PROT_NONE), 0);
    std::vector<const std::byte*> pages;  // the last one first
    for (std::size_t i = 1; i <= count; ++i) pages.push_back(end - i * kPageBytes);
    std::vector<Digest> digests(count);
    page_digests(pages, digests.data());
    for (const Digest& digest : digests) EXPECT_EQ(digest, zero_digest(0));
    ::munmap(mapped, 2 * bytes);
  }
}

}  // namespace
}  // namespace snap::test
