// SPDX-License-Identifier: Apache-2.0
#include "delta_codecs.h"

#include <dlfcn.h>
#include <lz4.h>
#include <zstd.h>
#ifdef SNAP_BENCH_LZO
#include <lzo/lzo1x.h>
#endif
#ifdef SNAP_BENCH_SNAPPY
#include <snappy-c.h>
#endif

#include <cstdint>
#include <cstring>

#include "measure.h"
#include "snap/xbzrle.h"

namespace bench {

namespace {

/// `to` becomes a XOR b.
void xor_into(std::byte* to, const std::byte* a, const std::byte* b, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += 8) {
    std::uint64_t left = 0;
    std::uint64_t right = 0;
    std::memcpy(&left, a + at, 8);
    std::memcpy(&right, b + at, 8);
    left ^= right;
    std::memcpy(to + at, &left, 8);
  }
}

class OurXbzrle final : public DeltaCodec {
 public:
  OurXbzrle(const std::string& called, snap::XbzrleVersion version) : DeltaCodec(called, kDeltaPage), version_(version) {}

  std::size_t encode(const std::byte* before, const std::byte* after, std::byte* out) override {
    const auto bytes = snap::xbzrle_encode(version_, {before, kDeltaPage}, {after, kDeltaPage}, {out, kDeltaPage});
    if (!bytes) die(name + ": does not fit");
    return *bytes;
  }
  void decode(const std::byte* delta, std::size_t bytes, std::byte* page) override {
    if (!snap::xbzrle_decode(version_, {delta, bytes}, {page, kDeltaPage})) die(name + ": refuses its own delta");
  }

 private:
  snap::XbzrleVersion version_;
};

class PeerXbzrle final : public DeltaCodec {
 public:
  using Encode = int (*)(std::uint8_t*, std::uint8_t*, int, std::uint8_t*, int);
  using Decode = int (*)(std::uint8_t*, int, std::uint8_t*, int);
  PeerXbzrle(const std::string& called, Encode encoder, Decode decoder)
      : DeltaCodec(called, kDeltaPage), encode_(encoder), decode_(decoder) {}

  std::size_t encode(const std::byte* before, const std::byte* after, std::byte* out) override {
    const int bytes = encode_(raw(before), raw(after), kDeltaPage, raw(out), kDeltaPage);
    if (bytes < 0) die(name + ": does not fit");
    return static_cast<std::size_t>(bytes);
  }
  void decode(const std::byte* delta, std::size_t bytes, std::byte* page) override {
    if (decode_(raw(delta), static_cast<int>(bytes), raw(page), kDeltaPage) < 0) die(name + ": refuses its own delta");
  }

 private:
  static std::uint8_t* raw(const std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(bytes)); }

  Encode encode_;
  Decode decode_;
};

/// XBRLE of 2011: runs of the XOR in words of a count (1 … 255) and a symbol, a byte each. That is what the published sizes come
/// to: every random byte costs two, and so do 255 bytes that did not change.
class Xbrle final : public DeltaCodec {
 public:
  Xbrle() : DeltaCodec("XBRLE", kDeltaPage) {}

  std::size_t encode(const std::byte* before, const std::byte* after, std::byte* out) override {
    std::byte* to = out;
    for (std::size_t at = 0; at < kDeltaPage;) {
      const std::byte symbol = before[at] ^ after[at];
      std::size_t count = 1;
      while (count < 255 && at + count < kDeltaPage && (before[at + count] ^ after[at + count]) == symbol) ++count;
      *to++ = static_cast<std::byte>(count);
      *to++ = symbol;
      at += count;
    }
    return static_cast<std::size_t>(to - out);
  }
  void decode(const std::byte* delta, std::size_t bytes, std::byte* page) override {
    std::byte* to = page;
    for (std::size_t at = 0; at + 1 < bytes; at += 2) {
      const auto count = std::to_integer<std::size_t>(delta[at]);
      if (count > static_cast<std::size_t>(page + kDeltaPage - to)) die("XBRLE: leaves the page");
      if (delta[at + 1] != std::byte{0}) {
        for (std::size_t i = 0; i < count; ++i) to[i] ^= delta[at + 1];
      }
      to += count;
    }
  }
};

/// A codec's call over the XOR.
class XorCodec : public DeltaCodec {
 public:
  XorCodec(const std::string& called, std::size_t bytes) : DeltaCodec(called, bytes), payload_(bytes) {}

  std::size_t encode(const std::byte* before, const std::byte* after, std::byte* out) final {
    xor_into(payload_.data(), before, after, block);
    return compress(payload_.data(), out, block * kMostDelta);
  }
  void decode(const std::byte* delta, std::size_t bytes, std::byte* page) final {
    if (!decompress(delta, bytes, payload_.data())) die(name + ": refuses its own delta");
    xor_into(page, page, payload_.data(), block);
  }

 protected:
  virtual std::size_t compress(const std::byte* in, std::byte* out, std::size_t room) = 0;
  /// True: to `block` bytes exactly.
  virtual bool decompress(const std::byte* in, std::size_t bytes, std::byte* out) = 0;

 private:
  std::vector<std::byte> payload_;
};

class XorLz4 final : public XorCodec {
 public:
  XorLz4(const std::string& called, std::size_t bytes)
      : XorCodec(called, bytes), state_(static_cast<std::size_t>(LZ4_sizeofState())) {}

 private:
  std::size_t compress(const std::byte* in, std::byte* out, std::size_t room) override {
    const int bytes = LZ4_compress_fast_extState(state_.data(), reinterpret_cast<const char*>(in), reinterpret_cast<char*>(out),
                                                 static_cast<int>(block), static_cast<int>(room), 1);
    if (bytes <= 0) die(name + " failed");
    return static_cast<std::size_t>(bytes);
  }
  bool decompress(const std::byte* in, std::size_t bytes, std::byte* out) override {
    return LZ4_decompress_safe(reinterpret_cast<const char*>(in), reinterpret_cast<char*>(out), static_cast<int>(bytes),
                               static_cast<int>(block)) == static_cast<int>(block);
  }

  std::vector<char> state_;
};

class XorZstd final : public XorCodec {
 public:
  XorZstd(const std::string& called, std::size_t bytes, int level)
      : XorCodec(called, bytes), level_(level), encoder_(ZSTD_createCCtx()), decoder_(ZSTD_createDCtx()) {}
  ~XorZstd() override {
    ZSTD_freeCCtx(encoder_);
    ZSTD_freeDCtx(decoder_);
  }
  XorZstd(const XorZstd&) = delete;
  XorZstd& operator=(const XorZstd&) = delete;

 private:
  std::size_t compress(const std::byte* in, std::byte* out, std::size_t room) override {
    const std::size_t bytes = ZSTD_compressCCtx(encoder_, out, room, in, block, level_);
    if (ZSTD_isError(bytes) != 0) die(name + " failed");
    return bytes;
  }
  bool decompress(const std::byte* in, std::size_t bytes, std::byte* out) override {
    return ZSTD_decompressDCtx(decoder_, out, block, in, bytes) == block;
  }

  int level_;
  ZSTD_CCtx* encoder_;
  ZSTD_DCtx* decoder_;
};

#ifdef SNAP_BENCH_LZO
class XorLzo final : public XorCodec {
 public:
  XorLzo() : XorCodec("XOR + LZO", kDeltaPage), work_(LZO1X_1_MEM_COMPRESS / sizeof(std::uint64_t) + 1) {
    if (lzo_init() != LZO_E_OK) die("LZO does not work here");
  }

 private:
  std::size_t compress(const std::byte* in, std::byte* out, std::size_t room) override {
    lzo_uint bytes = room;
    if (lzo1x_1_compress(reinterpret_cast<const unsigned char*>(in), block, reinterpret_cast<unsigned char*>(out), &bytes,
                         work_.data()) != LZO_E_OK)
      die(name + " failed");
    return bytes;
  }
  bool decompress(const std::byte* in, std::size_t bytes, std::byte* out) override {
    lzo_uint length = block;
    return lzo1x_decompress_safe(reinterpret_cast<const unsigned char*>(in), bytes, reinterpret_cast<unsigned char*>(out),
                                 &length, nullptr) == LZO_E_OK &&
           length == block;
  }

  std::vector<std::uint64_t> work_;
};
#endif

#ifdef SNAP_BENCH_SNAPPY
class XorSnappy final : public XorCodec {
 public:
  XorSnappy() : XorCodec("XOR + Snappy", kDeltaPage) {}

 private:
  std::size_t compress(const std::byte* in, std::byte* out, std::size_t room) override {
    std::size_t bytes = room;
    if (snappy_compress(reinterpret_cast<const char*>(in), block, reinterpret_cast<char*>(out), &bytes) != SNAPPY_OK)
      die(name + " failed");
    return bytes;
  }
  bool decompress(const std::byte* in, std::size_t bytes, std::byte* out) override {
    std::size_t length = block;
    return snappy_uncompress(reinterpret_cast<const char*>(in), bytes, reinterpret_cast<char*>(out), &length) == SNAPPY_OK &&
           length == block;
  }
};
#endif

}  // namespace

std::vector<std::unique_ptr<DeltaCodec>> our_xbzrle() {
  using snap::XbzrleVersion;
  std::vector<std::unique_ptr<DeltaCodec>> codecs;
  codecs.push_back(std::make_unique<OurXbzrle>("XBZRLE, portable", XbzrleVersion::kPortable));
  if (snap::xbzrle_has(XbzrleVersion::kAvx2)) codecs.push_back(std::make_unique<OurXbzrle>("XBZRLE, AVX2", XbzrleVersion::kAvx2));
  if (snap::xbzrle_has(XbzrleVersion::kAvx512))
    codecs.push_back(std::make_unique<OurXbzrle>("XBZRLE, AVX-512", XbzrleVersion::kAvx512));
  return codecs;
}

std::vector<std::unique_ptr<DeltaCodec>> other_deltas(std::vector<std::string>& missing) {
  constexpr std::size_t kOurBlock = 64 * 1024;
  std::vector<std::unique_ptr<DeltaCodec>> codecs;
  codecs.push_back(std::make_unique<Xbrle>());
#ifdef SNAP_BENCH_LZO
  codecs.push_back(std::make_unique<XorLzo>());
#else
  missing.emplace_back("XOR + LZO (liblzo2-dev)");
#endif
#ifdef SNAP_BENCH_SNAPPY
  codecs.push_back(std::make_unique<XorSnappy>());
#else
  missing.emplace_back("XOR + Snappy (libsnappy-dev)");
#endif
  codecs.push_back(std::make_unique<XorLz4>("XOR + lz4", kDeltaPage));
  codecs.push_back(std::make_unique<XorZstd>("XOR + zstd 1", kDeltaPage, 1));
  codecs.push_back(std::make_unique<XorLz4>("container: XOR + lz4, 64 KiB", kOurBlock));
  codecs.push_back(std::make_unique<XorZstd>("container: XOR + zstd 3, 64 KiB", kOurBlock, 3));
  static_cast<void>(missing);
  return codecs;
}

std::unique_ptr<DeltaCodec> peer_xbzrle(const std::string& name_and_file) {
  const std::size_t mark = name_and_file.find('=');
  if (mark == std::string::npos) die("--peer wants NAME=LIBRARY");
  void* const library = ::dlopen(name_and_file.substr(mark + 1).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) die(std::string("cannot load the peer: ") + ::dlerror());
  void* const encode = ::dlsym(library, "xbzrle_encode_buffer");
  void* const decode = ::dlsym(library, "xbzrle_decode_buffer");
  if (encode == nullptr || decode == nullptr) die("the peer lacks xbzrle_encode_buffer or xbzrle_decode_buffer");
  return std::make_unique<PeerXbzrle>(name_and_file.substr(0, mark), reinterpret_cast<PeerXbzrle::Encode>(encode),
                                      reinterpret_cast<PeerXbzrle::Decode>(decode));
}

}  // namespace bench
