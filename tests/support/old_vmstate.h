// SPDX-License-Identifier: Apache-2.0
// VM state streams and qcow2 images of 2006 to 2010 made byte by byte, without the library: what it reads was not written by it.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

namespace snap::test {

using Buffer = std::vector<std::byte>;

inline constexpr std::uint64_t kMiB = 1u << 20;

/// Appends `bytes` bytes of a number, most significant first.
inline void put_be(Buffer& to, std::uint64_t value, unsigned bytes) {
  while (bytes-- != 0) to.push_back(bytes < 8 ? static_cast<std::byte>(value >> (8 * bytes)) : std::byte{0});
}
inline void put_text(Buffer& to, std::string_view text) {
  for (const char c : text) to.push_back(static_cast<std::byte>(c));
}
inline void put(Buffer& to, const Buffer& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
inline void patch_be(Buffer& in, std::size_t at, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) in.at(at + i) = static_cast<std::byte>(value >> (8 * (bytes - 1 - i)));
}

/// RAM of which one page in `one_in` is not zero: filled, sparse or random.
inline Buffer sample_ram(std::size_t bytes, unsigned seed = 1, unsigned one_in = 16) {
  Buffer ram(bytes);
  std::mt19937 random(seed);
  for (std::size_t page = 0; page * 4096 < bytes; ++page) {
    const std::size_t count = std::min<std::size_t>(4096, bytes - page * 4096);
    std::byte* at = ram.data() + page * 4096;
    if (page >= 2 && random() % one_in != 0) continue;  // a real guest's first pages are never zero
    switch (random() % 3) {
      case 0:
        std::memset(at, static_cast<int>(random() % 255 + 1), count);
        break;
      case 1:
        for (std::size_t i = 0; i < count; i += 64) at[i] = static_cast<std::byte>(random());
        break;
      default:
        for (std::size_t i = 0; i < count; ++i) at[i] = static_cast<std::byte>(random());
    }
  }
  return ram;
}

struct DeflateAs {
  std::size_t block = 1024;
  bool hole = false;  ///< leave 0xa0000 … 0xbffff out
  int level = 1;
  int window_bits = 15;
  int memory_level = 9;
  std::size_t piece = 4096;
};

/// Records: a zero byte and a block each. The last block is filled up with 0x5a behind the RAM's end.
inline Buffer ram_records(const Buffer& ram, const DeflateAs& as) {
  Buffer records;
  for (std::size_t at = 0; at < ram.size(); at += as.block) {
    if (as.hole && at >= 0xa0000 && at < 0xc0000) continue;
    records.push_back(std::byte{0});
    const std::size_t count = std::min(as.block, ram.size() - at);
    records.insert(records.end(), ram.begin() + static_cast<std::ptrdiff_t>(at),
                   ram.begin() + static_cast<std::ptrdiff_t>(at + count));
    records.insert(records.end(), as.block - count, std::byte{0x5a});
  }
  return records;
}

inline Buffer zlib_stream(const Buffer& plain, const DeflateAs& as) {
  z_stream zlib{};
  deflateInit2(&zlib, as.level, Z_DEFLATED, as.window_bits, as.memory_level, Z_DEFAULT_STRATEGY);
  Buffer out(deflateBound(&zlib, plain.size()));
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
  zlib.avail_in = static_cast<uInt>(plain.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  deflate(&zlib, Z_FINISH);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  return out;
}

inline Buffer cblocks(const Buffer& stream, std::size_t piece = 4096) {
  Buffer out;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    const std::size_t count = std::min(piece, stream.size() - at);
    put_be(out, 0xfabe, 2);
    put_be(out, count, 2);
    out.insert(out.end(), stream.begin() + static_cast<std::ptrdiff_t>(at),
               stream.begin() + static_cast<std::ptrdiff_t>(at + count));
  }
  return out;
}

inline Buffer cblocks_of(const Buffer& ram, const DeflateAs& as = {}) {
  return cblocks(zlib_stream(ram_records(ram, as), as), as.piece);
}

/// The body of a version 2 RAM section; kvm: of kvm-userspace's version 3.
inline Buffer static_ram_body(const Buffer& ram, const DeflateAs& as = {}, bool kvm = false) {
  Buffer body;
  if (kvm) body.push_back(std::byte{0});
  put_be(body, ram.size(), 4);
  put(body, cblocks_of(ram, as));
  return body;
}

inline Buffer version_1_body(const Buffer& ram, bool hole) {
  Buffer body;
  put_be(body, ram.size(), 4);
  for (std::size_t at = 0; at < ram.size(); at += 4096) {
    if (hole && at >= 0xa0000 && at < 0xc0000) continue;
    const bool fill = std::memcmp(ram.data() + at, ram.data() + at + 1, 4095) == 0;
    body.push_back(fill ? std::byte{1} : std::byte{0});
    body.insert(body.end(), ram.begin() + static_cast<std::ptrdiff_t>(at),
                ram.begin() + static_cast<std::ptrdiff_t>(at + (fill ? 1 : 4096)));
  }
  return body;
}

/// CMOS as the BIOS of a PC with so much RAM finds it.
inline Buffer cmos_of(std::uint64_t ram_bytes) {
  Buffer cmos(128);
  const std::uint64_t low = std::min<std::uint64_t>(ram_bytes, 0xe0000000);
  const std::uint64_t above_1m = std::min<std::uint64_t>((low - kMiB) / 1024, 65535);
  const std::uint64_t above_16m = low > 16 * kMiB ? std::min<std::uint64_t>((low - 16 * kMiB) / 65536, 65535) : 0;
  const std::uint64_t high = (ram_bytes - low) / 65536;
  for (unsigned i = 0; i < 2; ++i) {
    cmos[0x30 + i] = static_cast<std::byte>(above_1m >> (8 * i));
    cmos[0x34 + i] = static_cast<std::byte>(above_16m >> (8 * i));
  }
  for (unsigned i = 0; i < 3; ++i) cmos[0x5b + i] = static_cast<std::byte>(high >> (8 * i));
  return cmos;
}

/// A record of containers 1 and 2.
inline Buffer record(std::string_view id, std::uint32_t version, const Buffer& body, std::uint32_t instance = 0) {
  Buffer out;
  put_be(out, id.size(), 1);
  put_text(out, id);
  put_be(out, instance, 4);
  put_be(out, version, 4);
  put_be(out, body.size(), 4);
  put(out, body);
  return out;
}

/// A section START (1) or FULL (4) of container 3.
inline Buffer section(unsigned type, std::uint32_t section_id, std::string_view id, std::uint32_t version, const Buffer& body) {
  Buffer out;
  put_be(out, type, 1);
  put_be(out, section_id, 4);
  put_be(out, id.size(), 1);
  put_text(out, id);
  put_be(out, 0, 4);
  put_be(out, version, 4);
  put(out, body);
  return out;
}
inline Buffer part(unsigned type, std::uint32_t section_id, const Buffer& body) {
  Buffer out;
  put_be(out, type, 1);
  put_be(out, section_id, 4);
  put(out, body);
  return out;
}

inline Buffer container(unsigned version, const std::vector<Buffer>& parts) {
  Buffer body;
  for (const Buffer& one : parts) put(body, one);
  Buffer out;
  put_text(out, "QEVM");
  put_be(out, version, 4);
  if (version == 2) put_be(out, body.size(), 8);
  put(out, body);
  return out;
}

inline Buffer timer() { return record("timer", 2, Buffer(24, std::byte{7})); }

/// The rest of a machine: what follows the RAM. ram_bytes 0: no CMOS.
inline Buffer devices(std::uint64_t ram_bytes) {
  Buffer out = record("cpu_common", 2, Buffer(8, std::byte{1}));
  put(out, record("i8259", 1, Buffer(20, std::byte{2}), 0x20));
  if (ram_bytes != 0) {
    Buffer cmos = cmos_of(ram_bytes);
    cmos.resize(161, std::byte{3});
    put(out, record("mc146818rtc", 1, cmos, 0x70));
  }
  put(out, record("ide", 1, Buffer(500, std::byte{4})));
  return out;
}

/// Container 2 with a static RAM section.
inline Buffer old_vmstate(const Buffer& ram, std::uint64_t cmos_bytes, const DeflateAs& as = {}, bool kvm = false) {
  return container(2, {timer(), record("ram", kvm ? 3 : 2, static_ram_body(ram, as, kvm)), devices(cmos_bytes)});
}

inline void put_live_page(Buffer& to, const Buffer& ram, std::uint64_t page) {
  const auto at = ram.begin() + static_cast<std::ptrdiff_t>(page * 4096);
  const bool fill = std::equal(at + 1, at + 4096, at);
  put_be(to, page * 4096 | (fill ? 2 : 8), 8);
  to.insert(to.end(), at, at + (fill ? 1 : 4096));
}

}  // namespace snap::test
