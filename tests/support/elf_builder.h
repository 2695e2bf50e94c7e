// SPDX-License-Identifier: Apache-2.0
// ELF cores for tests, byte by byte and without the library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace snap::test {

struct CoreSegment {
  std::uint32_t type = 1;  // PT_LOAD; 4: PT_NOTE
  std::uint64_t address = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t at = 0;
  std::uint64_t virtual_address = 0;
};

struct CoreBuilder {
  bool wide = true;
  std::uint16_t machine = 62;
  std::uint16_t type = 4;  // ET_CORE
  std::uint8_t data = 1;   // little-endian
  bool count_elsewhere = false;
  std::uint32_t counted = 0;      ///< what the header tells where it is not 0
  std::uint16_t segment_bytes = 0;  ///< likewise
  std::vector<CoreSegment> segments;
  std::vector<std::byte> bytes;  ///< the file from its first byte; the tables are put over it

  std::size_t header_bytes() const { return wide ? 64 : 52; }
  std::size_t section_bytes() const { return wide ? 64 : 40; }
  std::size_t entry_bytes() const { return wide ? 56 : 32; }
  std::size_t table_at() const { return header_bytes() + (count_elsewhere ? section_bytes() : 0); }
  std::size_t tables_end() const { return table_at() + segments.size() * entry_bytes(); }

  void put(std::size_t at, std::uint64_t value, std::size_t size) {
    if (bytes.size() < at + size) bytes.resize(at + size);
    for (std::size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<std::byte>(value >> 8 * i);
  }
  void put_bytes(std::size_t at, const std::vector<std::byte>& content) {
    if (bytes.size() < at + content.size()) bytes.resize(at + content.size());
    std::copy(content.begin(), content.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  /// A segment and its bytes, at `at`.
  void add(CoreSegment segment, const std::vector<std::byte>& content) {
    segment.file_bytes = content.size();
    if (segment.memory_bytes < content.size()) segment.memory_bytes = content.size();
    put_bytes(segment.at, content);
    segments.push_back(segment);
  }

  std::vector<std::byte> build() {
    const std::size_t word = wide ? 8 : 4;
    const std::uint64_t magic[] = {0x7f, 'E', 'L', 'F', wide ? 2u : 1u, data, 1};
    for (std::size_t i = 0; i < 7; ++i) put(i, magic[i], 1);
    put(7, 0, 8);
    put(15, 0, 1);
    put(16, type, 2);
    put(18, machine, 2);
    put(20, 1, 4);
    put(24, 0, word);
    put(24 + word, table_at(), word);
    put(24 + 2 * word, count_elsewhere ? header_bytes() : 0, word);
    const std::size_t rest = 24 + 3 * word;
    const std::uint64_t count = counted != 0 ? counted : segments.size();
    put(rest, 0, 4);
    put(rest + 4, header_bytes(), 2);
    put(rest + 6, segment_bytes != 0 ? segment_bytes : entry_bytes(), 2);
    put(rest + 8, count_elsewhere ? 0xffff : count, 2);
    put(rest + 10, count_elsewhere ? section_bytes() : 0, 2);
    put(rest + 12, count_elsewhere ? 1 : 0, 2);
    put(rest + 14, 0, 2);
    if (count_elsewhere) {
      for (std::size_t i = 0; i < section_bytes(); ++i) put(header_bytes() + i, 0, 1);
      put(header_bytes() + (wide ? 44 : 28), count, 4);
    }
    for (std::size_t i = 0; i < segments.size(); ++i) entry(table_at() + i * entry_bytes(), segments[i]);
    return bytes;
  }

 private:
  void entry(std::size_t at, const CoreSegment& segment) {
    put(at, segment.type, 4);
    if (wide) {
      put(at + 4, 0, 4);
      put(at + 8, segment.at, 8);
      put(at + 16, segment.virtual_address, 8);
      put(at + 24, segment.address, 8);
      put(at + 32, segment.file_bytes, 8);
      put(at + 40, segment.memory_bytes, 8);
      put(at + 48, 0, 8);
      return;
    }
    put(at + 4, segment.at, 4);
    put(at + 8, segment.virtual_address, 4);
    put(at + 12, segment.address, 4);
    put(at + 16, segment.file_bytes, 4);
    put(at + 20, segment.memory_bytes, 4);
    put(at + 24, 0, 4);
    put(at + 28, 0, 4);
  }
};

}  // namespace snap::test
