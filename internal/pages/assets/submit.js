// Sends the only form of a page that needs nothing from the person.
document.forms[0].submit();
