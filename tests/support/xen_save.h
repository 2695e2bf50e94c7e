// SPDX-License-Identifier: Apache-2.0
// Save files of xl made byte by byte, without the library: what it reads was not written by it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "support/old_vmstate.h"

namespace snap::test {

inline void put_le(Buffer& to, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) to.push_back(static_cast<std::byte>(value >> (8 * i)));
}
inline void patch_le(Buffer& in, std::size_t at, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) in.at(at + i) = static_cast<std::byte>(value >> (8 * i));
}

inline constexpr std::size_t kXlHeader = 48;
inline constexpr std::string_view kXenConfig = R"({"c_info": {"type": "pvh", "name": "probe", "uuid": ""}, "b_info": {"name": "x"}})";
inline constexpr std::uint32_t kXenPvType = 1;
inline constexpr std::uint32_t kXenHvmType = 2;

/// A guest frame in the list of a PAGE_DATA record, and what its page is made of.
struct XenFrame {
  std::uint64_t number;
  unsigned seed = 0;  ///< 0: a page of zeros
  unsigned type = 0;
};
inline bool has_page(const XenFrame& frame) { return frame.type < 5 || (frame.type > 8 && frame.type < 13); }
inline Buffer xen_page(unsigned seed) {
  Buffer page(4096);
  for (std::size_t i = 0; seed != 0 && i < page.size(); ++i) page[i] = static_cast<std::byte>(seed * (i / 7 + 1) + i);
  return page;
}

/// Appends the parts of a file in their order. Where an offset is asked for, it is that of the next byte.
struct XenSave {
  Buffer file;

  std::size_t here() const { return file.size(); }
  XenSave& xl(std::string_view config = kXenConfig, std::uint32_t mandatory = 3) {
    put_text(file, std::string_view("Xen saved domain, xl format\n \0 \r", 32));
    put_le(file, 0x01020304, 4);
    put_le(file, mandatory, 4);
    put_le(file, 0, 4);
    put_le(file, config.size() + 5, 4);
    put_le(file, config.size() + 1, 4);
    put_text(file, config);
    put_le(file, 0, 1);
    return *this;
  }
  XenSave& libxl(std::uint32_t version = 2, std::uint32_t options = 0) {
    put_text(file, "LibxlFmt");
    put_be(file, version, 4);
    put_be(file, options, 4);
    return *this;
  }
  XenSave& record(std::uint32_t type, const Buffer& body = {}) {
    put_le(file, type, 4);
    put_le(file, body.size(), 4);
    put(file, body);
    file.resize(file.size() + (8 - body.size() % 8) % 8);
    return *this;
  }
  XenSave& libxc(std::uint32_t version = 3, std::uint32_t options = 0) {
    put_le(file, ~std::uint64_t{0}, 8);
    put_text(file, "XENF");
    put_be(file, version, 4);
    put_be(file, options, 2);
    put_be(file, 0, 6);
    return *this;
  }
  XenSave& domain(std::uint32_t type = kXenHvmType, std::uint32_t page_shift = 12) {
    put_le(file, type, 4);
    put_le(file, page_shift, 2);
    put_le(file, 0, 2);
    put_le(file, 4, 4);
    put_le(file, 17, 4);
    return *this;
  }
  XenSave& pages(const std::vector<XenFrame>& frames) {
    Buffer body;
    put_le(body, frames.size(), 4);
    put_le(body, 0, 4);
    for (const XenFrame& frame : frames) put_le(body, std::uint64_t{frame.type} << 60 | frame.number, 8);
    for (const XenFrame& frame : frames) {
      if (has_page(frame)) put(body, xen_page(frame.seed));
    }
    return record(1, body);
  }
  /// All up to the first record of libxc's.
  XenSave& begin(std::uint32_t type = kXenHvmType, std::uint32_t version = 3) {
    return xl().libxl().record(1).libxc(version).domain(type);
  }
  /// END of both streams.
  XenSave& end() { return record(0).record(0); }
};

}  // namespace snap::test
