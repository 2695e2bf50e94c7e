// SPDX-License-Identifier: Apache-2.0
// Compressed streams as the compressors' programs write them: by their libraries, lzop's container by hand.
#pragma once

#include <bzlib.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>

#include "base/bytes.h"
#include "vmm/big_endian.h"
#include "vmm/decompress.h"

namespace snap::test {

inline void done_if(bool good) {
  if (!good) std::abort();
}

inline Bytes gzip(std::span<const std::byte> content, const char* name = nullptr) {
  Bytes out(content.size() + 1024);
  z_stream stream{};
  done_if(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  gz_header header{};
  header.name = reinterpret_cast<Bytef*>(const_cast<char*>(name));
  header.comment = header.name;
  header.hcrc = name != nullptr;
  Bytef extra[5] = {'s', 'n', 1, 0, 7};
  header.extra = name != nullptr ? extra : nullptr;
  header.extra_len = sizeof extra;
  done_if(::deflateSetHeader(&stream, &header) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  done_if(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

inline Bytes bzip2(std::span<const std::byte> content) {
  auto size = static_cast<unsigned>(content.size() + content.size() / 50 + 1024);
  Bytes out(size), in(content.begin(), content.end());
  in.resize(in.size() + 1);  // a null pointer is refused
  done_if(::BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &size, reinterpret_cast<char*>(in.data()),
                                     static_cast<unsigned>(content.size()), 1, 0, 0) == BZ_OK);
  out.resize(size);
  return out;
}

inline Bytes xz_or_lzma(std::span<const std::byte> content, bool alone) {
  Bytes out(content.size() + content.size() / 50 + 1024);
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_options_lzma options;
  done_if(!::lzma_lzma_preset(&options, 0));
  done_if((alone ? ::lzma_alone_encoder(&stream, &options) : ::lzma_easy_encoder(&stream, 0, LZMA_CHECK_CRC64)) == LZMA_OK);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(content.data());
  stream.avail_in = content.size();
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = out.size();
  done_if(::lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END);
  out.resize(stream.total_out);
  ::lzma_end(&stream);
  return out;
}
inline Bytes xz(std::span<const std::byte> content) { return xz_or_lzma(content, false); }
inline Bytes lzma(std::span<const std::byte> content) { return xz_or_lzma(content, true); }

inline Bytes zstd(std::span<const std::byte> content) {
  Bytes out(::ZSTD_compressBound(content.size()));
  ZSTD_CCtx* context = ::ZSTD_createCCtx();
  ::ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  const std::size_t size = ::ZSTD_compress2(context, out.data(), out.size(), content.data(), content.size());
  ::ZSTD_freeCCtx(context);
  done_if(::ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

/// A header and blocks with what a test wants wrong in them.
struct LzopMaker {
  std::uint16_t version = 0x1040, needed = 0x0940;
  std::uint8_t method = 1;
  std::uint32_t flags = 0x0300000d;  // as lzop 1.04 writes into a pipe
  std::string name{};
  std::size_t block_bytes = 256 * 1024;
  std::uint32_t wrong_header = 0;  ///< is added to the checksum

  static std::uint32_t adler(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(::adler32(1, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
  }
  static std::uint32_t crc(std::span<const std::byte> bytes) {
    return static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
  }

  Bytes header() const {
    Bytes fields;
    append_be(fields, version);
    append_be(fields, std::uint16_t{0x20a0});
    if (version >= 0x0940) append_be(fields, needed);
    append_be(fields, method);
    if (version >= 0x0940) append_be(fields, std::uint8_t{5});
    append_be(fields, flags);
    append_be(fields, std::uint32_t{0x81a4});
    append_be(fields, std::uint32_t{1700000000});
    if (version >= 0x0940) append_be(fields, std::uint32_t{0});
    append_be(fields, static_cast<std::uint8_t>(name.size()));
    append(fields, bytes_of(std::string_view(name)));
    Bytes out;
    append(out, bytes_of(std::string_view("\x89LZO\0\r\n\x1a\n", 9)));
    append(out, fields);
    append_be(out, ((flags & 0x1000) != 0 ? crc(fields) : adler(fields)) + wrong_header);
    if ((flags & 0x40) == 0) return out;
    Bytes extra;
    append_be(extra, std::uint32_t{3});
    append(extra, bytes_of(std::string_view("abc")));
    append(out, extra);
    append_be(out, (flags & 0x1000) != 0 ? crc(extra) : adler(extra));
    return out;
  }
  Bytes block(std::span<const std::byte> content) const {
    Bytes stored(content.size() + content.size() / 16 + 128), work(LZO1X_1_MEM_COMPRESS), out;
    lzo_uint size = 0;
    ::lzo1x_1_compress(reinterpret_cast<const unsigned char*>(content.data()), content.size(), reinterpret_cast<unsigned char*>(stored.data()), &size,
                       work.data());
    stored.resize(size);
    const bool smaller = size < content.size();
    if (!smaller) stored.assign(content.begin(), content.end());
    append_be(out, static_cast<std::uint32_t>(content.size()));
    append_be(out, static_cast<std::uint32_t>(stored.size()));
    if ((flags & 0x1) != 0) append_be(out, adler(content));
    if ((flags & 0x100) != 0) append_be(out, crc(content));
    if (smaller && (flags & 0x2) != 0) append_be(out, adler(stored));
    if (smaller && (flags & 0x200) != 0) append_be(out, crc(stored));
    append(out, stored);
    return out;
  }
  Bytes file(std::span<const std::byte> content) const {
    Bytes out = header();
    for (; !content.empty(); content = content.subspan(std::min(block_bytes, content.size()))) {
      append(out, block(content.first(std::min(block_bytes, content.size()))));
    }
    append_be(out, std::uint32_t{0});
    return out;
  }
};
inline Bytes lzop(std::span<const std::byte> content) { return LzopMaker().file(content); }

struct Compressor {
  Compression compression;
  const char* name;
  Bytes (*compress)(std::span<const std::byte>);
  bool checked = true;  ///< has a checksum of its content
};
inline Bytes gzip_plain(std::span<const std::byte> content) { return gzip(content); }
inline constexpr Compressor kCompressors[] = {
    {Compression::kGzip, "gzip", gzip_plain},  {Compression::kBzip2, "bzip2", bzip2}, {Compression::kXz, "xz", xz},
    {Compression::kXz, "lzma", lzma, false}, {Compression::kLzop, "lzop", lzop},    {Compression::kZstd, "zstd", zstd},
};

}  // namespace snap::test
