// SPDX-License-Identifier: Apache-2.0
#include "vmm/libvirt.h"

#include <algorithm>

#include "base/fail.h"

namespace snap {

Result<LibvirtHeader> parse_libvirt_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kLibvirtHeaderBytes) return truncated(bytes.size(), "the save image ends in its header");
  LibvirtHeader header;
  const std::string_view magic = text_of(bytes.first(kLibvirtSave.size()));
  header.partial = magic == kLibvirtPart;
  if (!header.partial && magic != kLibvirtSave) return corrupt(0, "not a save image of libvirt");

  bool swapped = false;
  const auto field = [&](LibvirtField at) {
    std::uint32_t value = 0;
    std::memcpy(&value, &bytes[at], sizeof value);
    return swapped ? __builtin_bswap32(value) : value;
  };
  swapped = field(kFieldVersion) > kLibvirtVersion;
  const std::uint32_t version = field(kFieldVersion);
  if (version == 0 || version > kLibvirtVersion) return unsupported(kFieldVersion, "a save image of this version", version);
  header.data_bytes = field(kFieldDataLen);
  if (header.data_bytes == 0) return corrupt(kFieldDataLen, "a save image without a domain's XML");
  if (header.data_bytes > kMaxLibvirtData) {
    return fail(Code::kLimit, "more than 64 MiB of XML in a save image", kFieldDataLen, header.data_bytes);
  }
  header.was_running = field(kFieldWasRunning) != 0;
  header.format = field(kFieldFormat);
  if (header.format >= kLibvirtFormats.size()) {
    return unsupported(kFieldFormat, "a save image of a format that is not known", header.format);
  }
  header.cookie_offset = field(kFieldCookie);
  if (header.cookie_offset > header.data_bytes) {
    return corrupt(kFieldCookie, "a save image whose cookie lies behind its XML's end", header.cookie_offset);
  }
  return header;
}

std::string domain_name(std::string_view xml) {
  constexpr std::string_view kBegin = "<name>", kEnd = "</name>";
  xml = xml.substr(0, xml.find('\0'));
  const std::size_t at = xml.find(kBegin);
  if (at == std::string_view::npos) return {};
  xml.remove_prefix(at + kBegin.size());
  const std::size_t end = xml.find(kEnd);
  constexpr std::size_t kLongest = 1024;
  return end == std::string_view::npos || end > kLongest ? std::string() : std::string(xml.substr(0, end));
}

}  // namespace snap
