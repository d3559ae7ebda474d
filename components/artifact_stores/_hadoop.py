"""Hadoop's configuration files: pure builders, no resources."""

from collections.abc import Mapping
from xml.etree import ElementTree


def configuration_xml(properties: Mapping[str, str]) -> str:
    """Return a file such as core-site.xml that holds these properties."""
    root = ElementTree.Element("configuration")
    for name, value in properties.items():
        one = ElementTree.SubElement(root, "property")
        ElementTree.SubElement(one, "name").text = name
        ElementTree.SubElement(one, "value").text = value
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
